import type { Problem } from "../problem.ts";

/** What is wrong with the URL of a server that a plugin talks to. */
export function urlProblems(field: string, url: string): Problem[] {
  return URL.canParse(url) || !/^https?:\/\/[^/?#]+/.test(url)
    ? []
    : [{ field, reason: `"${url}" is not a URL` }];
}

/** What is wrong with headers that a plugin sends: names that are none, or are for the plugin to say. */
export function outgoingHeaderProblems(
  field: string,
  headers: Readonly<Record<string, string>>,
): Problem[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    const at = `${field}[${JSON.stringify(name)}]`;
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))
      return [{ field: at, reason: "is not the name of a header" }];
    if (OWN.has(name.toLowerCase()))
      return [
        { field: at, reason: "is a header that is made for each message" },
      ];
    // eslint-disable-next-line no-control-regex
    return /[\0-\x08\x0a-\x1f\x7f]/.test(value)
      ? [{ field: at, reason: "has a character that a header cannot have" }]
      : [];
  });
}

const OWN: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "content-type",
  "transfer-encoding",
  "connection",
]);
