/** Whether an entry of `Route.paths` is a regular expression: what follows the "~". */
export function isRegexPath(path: string): boolean {
  return path.startsWith("~");
}

/**
 * The path that routes are matched with: escapes of unreserved characters decoded and all others in upper case, dot
 * segments resolved, runs of slashes merged, blanks, control and non-ASCII characters escaped. The query must have been
 * taken off.
 */
export function normalisePath(path: string): string {
  if (path.startsWith("/") && !NEEDS_WORK.test(path)) return path;
  const escaped = path
    .replace(/%([0-9a-fA-F]{2})/g, (escape, hex: string) => {
      const character = String.fromCharCode(parseInt(hex, 16));
      return UNRESERVED.test(character) ? character : escape.toUpperCase();
    })
    .replace(NOT_IN_A_URI, (character) => percentEncode(character));
  const segments: string[] = [];
  const parts = escaped.split("/");
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    if (part === "..") segments.pop();
    if (part !== "" && part !== "." && part !== "..") segments.push(part);
    else if (last) segments.push("");
  }
  return `/${segments.join("/")}`;
}

function percentEncode(character: string): string {
  // A lone surrogate has no UTF-8 form; Buffer makes it U+FFFD.
  return Buffer.from(character, "utf8")
    .toString("hex")
    .toUpperCase()
    .replace(/../g, "%$&");
}

const NEEDS_WORK = /%|\/\/|\/\.|[^!-~]/;
const UNRESERVED = /^[A-Za-z0-9._~-]$/;
const NOT_IN_A_URI = /[^!-~]/gu;
