import { normalisePath } from "../paths.ts";

/** The formats that files may have. Before 3.0 a path with special characters was a regular expression, without "~". */
export const FORMATS = ["1.1", "2.1", "3.0"] as const;

/** The format of a file. */
export type Format = (typeof FORMATS)[number];

/** A path of a route as format 3.0 writes it. */
export function migratePath(path: string): string {
  return isPlain(path) ? migratePlain(path) : `~${decodeForRegex(path)}`;
}

/** Whether a path of a format before 3.0 is a prefix and not a regular expression. */
function isPlain(path: string): boolean {
  return /^[a-zA-Z0-9._\-~/%]*$/.test(path);
}

/** One that does not start with a slash is no path: left as it is for the rules to refuse. */
function migratePlain(path: string): string {
  return path.startsWith("/") ? normalisePath(path) : path;
}

/** Why a path of a format before 3.0 cannot be meant; undefined when it can. */
export function oldFormatProblem(
  path: string,
  format: Format,
): string | undefined {
  return path.startsWith("~") && !isPlain(path)
    ? `in format ${format} a regular expression has no "~" in front: take it away, or set _format_version to "3.0"`
    : undefined;
}

/**
 * Format 3.0 no longer decodes the escapes of a regular expression, so it is done here for the last time: reserved
 * characters stay escaped, one with a meaning in regular expressions gets a backslash.
 */
function decodeForRegex(path: string): string {
  return path.replace(/(?:%[0-9a-fA-F]{2})+/g, (escapes) => {
    const parts = escapes.match(
      /%[0-7][0-9a-fA-F]|(?:%[89a-fA-F][0-9a-fA-F])+/g,
    );
    return (parts ?? []).map(decodeEscape).join("");
  });
}

function decodeEscape(escape: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(escape);
  } catch {
    // Not UTF-8: there is no text to decode it to.
    return escape.toUpperCase();
  }
  if (/[!#$%&'()*+,/:;=?@[\]]/.test(decoded)) return escape.toUpperCase();
  return /[.^{}|\\-]/.test(decoded) ? `\\${decoded}` : decoded;
}
