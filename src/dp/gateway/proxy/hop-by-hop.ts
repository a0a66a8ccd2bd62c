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

/** The values of a header in a raw list of names and values, each list of tokens taken apart, in lower case. */
export function tokensOf(raw: readonly string[], lowerName: string): string[] {
  const tokens: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2)
    if (raw[i]?.toLowerCase() === lowerName)
      for (const token of (raw[i + 1] ?? "").split(",")) {
        const trimmed = token.trim().toLowerCase();
        if (trimmed !== "") tokens.push(trimmed);
      }
  return tokens;
}

/** A test for the headers of a message that are passed on: not the hop-by-hop ones, nor those its Connection header names. */
export function endToEnd(
  raw: readonly string[],
): (lowerName: string) => boolean {
  const named = new Set(tokensOf(raw, "connection"));
  return (lowerName) => !HOP_BY_HOP.has(lowerName) && !named.has(lowerName);
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
