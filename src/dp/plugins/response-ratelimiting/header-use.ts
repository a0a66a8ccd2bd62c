/**
 * Reads what an answer used: "videos=1, images=3". What has no limit is left out, as is whatever is not a number, or less
 * than nothing.
 */
export function readUse(
  headers: readonly string[],
  names: ReadonlySet<string>,
): ReadonlyMap<string, number> {
  const use = new Map<string, number>();
  for (const entry of headers.flatMap((header) => header.split(","))) {
    const [name = "", value = "", ...more] = entry
      .split("=")
      .map((part) => part.trim());
    const amount = value === "" ? NaN : Number(value);
    if (more.length === 0 && names.has(name) && amount > 0 && amount < MAX_USE)
      use.set(name, Math.floor(amount));
  }
  return use;
}

/** Beyond that adding one more would change nothing. */
const MAX_USE = 2 ** 53;
