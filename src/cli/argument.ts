import { kindOf, KINDS, pluralOf, type Kind } from "../model/kinds.ts";
import { UsageError } from "./io.ts";
import { didYouMean } from "./nearest.ts";
import type { ValueType } from "./value-types.ts";

/** Reads a word that is not a flag. */
export function argument<T>(name: string, type: ValueType<T>, word: string): T {
  const read = type.read(word);
  if (!read.ok) throw new UsageError([`${name}: ${read.reason}`]);
  return read.value;
}

/** Reads a kind, in the singular or the plural, with `-` as good as `_`. */
export function kindArgument(word: string): Kind {
  const kind = kindOf(word.toLowerCase().replaceAll("-", "_"));
  if (kind !== undefined) return kind;
  const names = KINDS.flatMap((known) => [known, pluralOf(known)]);
  throw new UsageError([
    `KIND: there is no kind "${word}".${didYouMean(word, names)} The kinds are ${KINDS.join(", ")}`,
  ]);
}
