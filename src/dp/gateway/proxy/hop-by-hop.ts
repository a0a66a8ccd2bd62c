/** Headers that are between two neighbours and are not passed on. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Headers that cannot be trailers: they frame, route or authenticate, or are too late there. */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "authorization",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "host",
  "set-cookie",
]);

const NOTHING: readonly string[] = [];

/** The values of a header in a raw list of names and values. */
export function valuesOf(
  raw: readonly string[],
  lowerName: string,
): readonly string[] {
  let values: string[] | undefined;
  const { length } = lowerName;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    // Most names have another length, and need not be looked at.
    if (name.length !== length || name.toLowerCase() !== lowerName) continue;
    const value = raw[i + 1] ?? "";
    if (values === undefined) values = [value];
    else values.push(value);
  }
  return values ?? NOTHING;
}

/** Whether a header is in a raw list of names and values. */
export function hasHeader(raw: readonly string[], lowerName: string): boolean {
  return valuesOf(raw, lowerName).length > 0;
}

/** The values of a header in a raw list, each list of tokens taken apart, in lower case. */
export function tokensOf(
  raw: readonly string[],
  lowerName: string,
): readonly string[] {
  const values = valuesOf(raw, lowerName);
  if (values.length === 0) return NOTHING;
  const tokens: string[] = [];
  for (const value of values)
    for (const token of value.split(",")) {
      const trimmed = token.trim().toLowerCase();
      if (trimmed !== "") tokens.push(trimmed);
    }
  return tokens;
}

/** What a Connection header mostly names: no header that would be passed on. */
const NOT_A_HEADER: ReadonlySet<string> = new Set(["close", "keep-alive"]);

function isEndToEnd(lowerName: string): boolean {
  return !HOP_BY_HOP.has(lowerName);
}

/** A test for the headers of a message that are passed on: not the hop-by-hop ones, nor those its Connection header names. */
export function endToEnd(
  raw: readonly string[],
): (lowerName: string) => boolean {
  const named = tokensOf(raw, "connection");
  if (named.every((token) => NOT_A_HEADER.has(token))) return isEndToEnd;
  return (lowerName) => isEndToEnd(lowerName) && !named.includes(lowerName);
}

/** The trailers that are passed on, in pairs. */
export function trailersOf(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!NOT_IN_TRAILERS.has(name.toLowerCase()))
      pairs.push([name, raw[i + 1] ?? ""]);
  }
  return pairs;
}
