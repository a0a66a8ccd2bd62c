import { ConfigError } from "../../model/violation.ts";

/** Items in a page when the caller does not say. */
const DEFAULT_PAGE_SIZE = 100;

/** Items in a page, at most. */
const MAX_PAGE_SIZE = 1000;

/** How many items a page is to have. */
export function pageSizeOf(asked: number | undefined): number {
  const size = asked ?? 0;
  if (!Number.isInteger(size) || size < 0 || size > MAX_PAGE_SIZE)
    throw ConfigError.of("invalid_argument", [
      {
        kind: "",
        name: "",
        field: "page_size",
        reason: `must be a whole number from 0 to ${MAX_PAGE_SIZE}, got ${size}`,
      },
    ]);
  return size === 0 ? DEFAULT_PAGE_SIZE : size;
}

/** The token of the page after an item. Opaque to callers. */
export function encodePageToken(list: string, last: string): string {
  return Buffer.from(JSON.stringify([list, last])).toString("base64url");
}

/** The item that a page comes after; empty for the first page. */
export function decodePageToken(
  list: string,
  token: string | undefined,
): string {
  if (token === undefined || token === "") return "";
  const refuse = (reason: string): ConfigError =>
    ConfigError.of("invalid_argument", [
      { kind: "", name: "", field: "page_token", reason },
    ]);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
  } catch {
    parsed = undefined;
  }
  if (!Array.isArray(parsed) || parsed.length !== 2)
    throw refuse(
      "is not a token that was given out: use next_page_token of the page before, or none for the first page",
    );
  const [of, last] = parsed as readonly unknown[];
  if (typeof of !== "string" || typeof last !== "string" || of !== list)
    throw refuse(
      `is one for a list of ${String(of)}, and this is a list of ${list}: use next_page_token of the page before, or none for the first page`,
    );
  return last;
}
