import { Code, ConnectError } from "@connectrpc/connect";

/** The code of an error as JSON spells it: `invalid_argument`. */
export function codeName(error: unknown): string {
  return Code[ConnectError.from(error).code].replaceAll(
    /(?<=[a-z])[A-Z]|^[A-Z]/g,
    (letter, at: number) =>
      at === 0 ? letter.toLowerCase() : `_${letter.toLowerCase()}`,
  );
}
