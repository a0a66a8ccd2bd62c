import type { Scalar } from "yaml";
import { readPlainScalar, type ScalarValue } from "./scalar.ts";

const TAG_PREFIX = "tag:yaml.org,2002:";

/** What a scalar is: plain ones are read, quoted ones and blocks are text; a tag of the YAML standard wins. */
export function scalarValue(node: Scalar, text: string): ScalarValue {
  switch (node.tag) {
    case undefined:
      return node.type === "PLAIN" ? readPlainScalar(text) : text;
    case `${TAG_PREFIX}int`:
    case `${TAG_PREFIX}float`:
    case `${TAG_PREFIX}bool`:
    case `${TAG_PREFIX}null`:
      return readPlainScalar(text);
    default:
      return text;
  }
}

/** Why a value has no place in a resource. */
export function unstorable(value: ScalarValue): string | undefined {
  if (typeof value === "number" && !Number.isFinite(value))
    return "infinity and not-a-number cannot be stored";
  return typeof value === "string" && /\p{Surrogate}/u.test(value)
    ? "half of a surrogate pair is not text"
    : undefined;
}
