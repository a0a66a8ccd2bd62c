/** One argument of a query string or a form. */
export interface Argument {
  readonly name: string;
  /** Empty for one without "=". */
  readonly value: string;
  /** As it is sent. */
  readonly raw: string;
}

/** The most arguments of a form: each costs many times what it costs to send it. */
export const MAX_ARGUMENTS = 10_000;

/** Whether a form has more arguments than are taken apart. */
export function hasTooManyArguments(form: Buffer): boolean {
  let count = 0;
  for (let at = form.indexOf("&"); at >= 0; at = form.indexOf("&", at + 1))
    if (++count > MAX_ARGUMENTS) return true;
  return false;
}

/** Reads a form that is to be a query string: what that cannot have is escaped, byte by byte. */
export function parseForm(form: Buffer): Argument[] {
  const escaped = form
    .toString("latin1")
    .replace(
      /[^!$-~]/g,
      (byte) => `%${Buffer.from(byte, "latin1").toString("hex").toUpperCase()}`,
    );
  return parseArguments(escaped);
}

/** Reads a query string or a form. What is not changed is sent as it came. */
export function parseArguments(text: string | undefined): Argument[] {
  if (text === undefined || text === "") return [];
  return text
    .split("&")
    .filter((raw) => raw !== "")
    .map((raw) => {
      const equals = raw.indexOf("=");
      const name = equals < 0 ? raw : raw.slice(0, equals);
      const value = equals < 0 ? "" : raw.slice(equals + 1);
      return { name: decode(name), value: decode(value), raw };
    });
}

/** An argument to be sent. */
export function argument(name: string, value: string): Argument {
  return {
    name,
    value,
    raw: `${encodeURIComponent(wellFormed(name))}=${encodeURIComponent(wellFormed(value))}`,
  };
}

export function writeArguments(args: readonly Argument[]): string {
  return args.map(({ raw }) => raw).join("&");
}

function decode(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Bytes that are no UTF-8, or a lone "%".
    return spaced;
  }
}

/** A lone half of a pair cannot be encoded. */
function wellFormed(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
}
