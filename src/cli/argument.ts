import { kindOf, KINDS, pluralOf, type Kind } from "../model/kinds.ts";
import { isUuid } from "../model/ids.ts";
import { UsageError } from "./io.ts";
import { didYouMean } from "./nearest.ts";
import type { ValueType } from "./value-types.ts";

/** Reads a word that is not a flag. */
export function argument<T>(name: string, type: ValueType<T>, word: string): T {
  const read = type.read(word);
  if (!read.ok) throw new UsageError([`${name}: ${read.reason}`]);
  return read.value;
}

/** `service/echo`: a kind, and an id or a name. */
export const resourceKey: ValueType<{
  readonly kind: Kind;
  readonly by: { readonly case: "id" | "name"; readonly value: string };
}> = {
  placeholder: "KIND/NAME",
  read(given) {
    const slash = given.indexOf("/");
    const value = given.slice(slash + 1);
    const kind = kindOf(
      given.slice(0, Math.max(slash, 0)).replaceAll("-", "_"),
    );
    return kind === undefined || value === ""
      ? {
          ok: false,
          reason: `"${given}" is not a kind and a name, such as service/echo; the kinds are ${KINDS.join(", ")}`,
        }
      : {
          ok: true,
          value: { kind, by: { case: isUuid(value) ? "id" : "name", value } },
        };
  },
};

/** Reads a kind, in the singular or the plural, with `-` as good as `_`. */
export function kindArgument(word: string): Kind {
  const kind = kindOf(word.toLowerCase().replaceAll("-", "_"));
  if (kind !== undefined) return kind;
  const names = KINDS.flatMap((known) => [known, pluralOf(known)]);
  throw new UsageError([
    `KIND: there is no kind "${word}".${didYouMean(word, names)} The kinds are ${KINDS.join(", ")}`,
  ]);
}
