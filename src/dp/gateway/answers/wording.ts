/** The formats in which the gateway says something itself. */
type Format = "json" | "xml" | "html" | "text";

const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ["*/*", "json"],
  ["application/*", "json"],
  ["application/json", "json"],
  ["application/xml", "xml"],
  ["text/xml", "xml"],
  ["text/html", "html"],
  ["text/*", "text"],
  ["text/plain", "text"],
]);

/** A body, and what it is. */
export interface Worded {
  readonly type: string;
  readonly body: string;
}

/**
 * A message of the gateway in the format that a client likes best of those there are: JSON when it does not say, or asks
 * for something else.
 *
 * @param accept The values of its Accept headers.
 */
export function wordFor(
  accept: string | undefined,
  message: string,
  id: string,
): Worded {
  const format = accept === undefined ? "json" : formatOf(accept);
  switch (format) {
    case "json":
      return {
        type: "application/json; charset=utf-8",
        body: JSON.stringify({ message, request_id: id }),
      };
    case "xml":
      return {
        type: "application/xml; charset=utf-8",
        body: `<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>${escaped(message)}</message>\n  <requestid>${escaped(id)}</requestid>\n</error>\n`,
      };
    case "html":
      return {
        type: "text/html; charset=utf-8",
        body: `<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>${escaped(message)}</title></head>\n<body>\n<h1>${escaped(message)}</h1>\n<p>Request id: ${escaped(id)}</p>\n</body>\n</html>\n`,
      };
    case "text":
      return {
        type: "text/plain; charset=utf-8",
        body: `${message}\nrequest_id: ${id}\n`,
      };
    default:
      return format satisfies never;
  }
}

function formatOf(accept: string): Format {
  let best: Format = "json";
  let bestWeight = 0;
  for (const range of accept.split(",")) {
    const [name = "", ...parameters] = range.split(";");
    const format = FORMATS.get(name.trim().toLowerCase());
    if (format === undefined) continue;
    const weight = weightOf(parameters);
    if (weight <= bestWeight) continue;
    best = format;
    bestWeight = weight;
  }
  return best;
}

function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim().toLowerCase() !== "q") continue;
    const weight = Number(value.trim());
    return weight >= 0 && weight <= 1 ? weight : 0;
  }
  return 1;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
