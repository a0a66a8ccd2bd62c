/** The directives of Cache-Control headers, by name in lower case; those without a value have an empty one. */
export type Directives = ReadonlyMap<string, string>;

/** Reads Cache-Control headers. */
export function readDirectives(values: readonly string[]): Directives {
  const directives = new Map<string, string>();
  for (const [, name = "", quoted, plain] of values
    .join(",")
    .matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,;]+)))?/g))
    directives.set(name.toLowerCase(), quoted ?? plain ?? "");
  return directives;
}

/** The seconds that a directive says; undefined when it is not there or no number. */
export function secondsOf(
  directives: Directives,
  name: string,
): number | undefined {
  const value = directives.get(name);
  return value !== undefined && /^\d{1,10}$/.test(value)
    ? Number(value)
    : undefined;
}
