/** Replaces a part of a text that may be a secret. */
type Replace = (part: string) => string;

/**
 * A URL whose secrets are replaced: user and password, and the values in its query and fragment, as a token is often
 * given there. Names and the path stay. A text that is no URL has no query; a user and password it may have somewhere.
 */
export function withUrlSecrets(text: string, replace: Replace): string {
  const [, before = "", query = "", fragment = ""] = WHOLE_URL.exec(text) ?? [];
  if (before === "") return withUser(text, replace);
  return [
    withUser(before, replace),
    withValues(query, replace),
    withValues(fragment, replace),
  ].join("");
}

/** As whoever calls it reads it: with spaces. */
const WHOLE_URL = /^(\s*[a-z][a-z0-9+.-]*:\/\/[^?#]*)(\?[^#]*)?(#.*)?$/is;

/** Up to the last @ before the path: with spaces, when all of the text is a URL. */
const USER_INFO = /(?<=^https?:\/\/)[^/?#]+(?=@)|(?<=:\/\/)[^/?#\s]+(?=@)/gi;

function withUser(text: string, replace: Replace): string {
  return text.replace(USER_INFO, replace);
}

/** `?a=x&y` becomes `?a=***&***`: what has no name may be a secret as a whole. */
function withValues(part: string, replace: Replace): string {
  return part.replace(
    /([?#&;])([^=&;]*=)?([^&;]*)/g,
    (_, separator: string, name: string | undefined, value: string) =>
      `${separator}${name ?? ""}${value === "" ? "" : replace(value)}`,
  );
}
