/** One argument of a query string or a form. */
export interface Argument {
  readonly name: string;
  /** Empty for one without "=". */
  readonly value: string;
  /** As it is sent. */
  readonly raw: string;
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
