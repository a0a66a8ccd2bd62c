import {
  getOption,
  type DescMessage,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  isReflectList,
  isReflectMap,
  isReflectMessage,
  reflect,
  type Path,
  type ReflectMessage,
} from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { secret } from "../../gen/holdfast/config/v1/options_pb.js";
import { join, show, type Problem } from "../problem.ts";
import { compileRegex, type Regex } from "../regex.ts";

const patterns = new Map<string, Regex>();

/** The engine of every expression is our own, the same that routes are matched with. */
const validator = createValidator({
  regexMatch: (pattern, against) => {
    let regex = patterns.get(pattern);
    if (regex === undefined) {
      const compiled = compileRegex(pattern);
      if (!compiled.ok) throw new TypeError(compiled.reason);
      patterns.set(pattern, (regex = compiled.regex));
    }
    return regex.test(against);
  },
});

/** What breaks the rules that stand in the .proto files. */
export function fieldProblems<Desc extends DescMessage>(
  desc: Desc,
  message: MessageShape<Desc>,
): Problem[] {
  const result = validator.validate(desc, message);
  switch (result.kind) {
    case "valid":
      return [];
    case "error":
      // A rule that does not compile, or does not fit its field.
      return [{ field: "", reason: result.error.message }];
    case "invalid": {
      const root = reflect(desc, message);
      return result.violations.flatMap(({ field, ruleId, message: text }) =>
        ruleId.includes(".") && !STANDARD.test(ruleId)
          ? ofMessageRule(root, field, text)
          : [ofFieldRule(root, field, ruleId, text)],
      );
    }
    default:
      return result satisfies never;
  }
}

/** Rules of protovalidate itself are named by a type; our own by a message. */
const STANDARD =
  /^(string|bytes|bool|int32|uint32|uint64|double|repeated|map|enum|message)\./;

/** A rule over several fields. Its text may begin with their names: "path, port: only with …"; then each one set is named. */
function ofMessageRule(
  root: ReflectMessage,
  path: Path,
  text: string,
): Problem[] {
  const at = formatPath(path);
  const named = /^([a-z_]+(?:, [a-z_]+)*): (.*)$/s.exec(text);
  if (named === null) return [{ field: at, reason: text }];
  const [, names = "", reason = ""] = named;
  const target = valueAt(root, path);
  const all = names.split(", ");
  const set = all.filter((name) => {
    if (!isReflectMessage(target)) return true;
    const field = target.desc.fields.find((f) => f.name === name);
    return field === undefined || target.isSet(field);
  });
  return (set.length > 0 ? set : all).map((name) => ({
    field: join(at, name),
    reason,
  }));
}

function ofFieldRule(
  root: ReflectMessage,
  path: Path,
  ruleId: string,
  text: string,
): Problem {
  const field = formatPath(path);
  const value = valueAt(root, path);
  const got =
    isSecret(path) || isComposite(value) ? "" : `, got ${show(value)}`;
  switch (ruleId) {
    case "required":
      return { field, reason: "is required" };
    case "repeated.unique":
      return { field, reason: `has ${show(firstRepeated(value))} twice` };
    case "string.max_len":
    case "string.max_bytes":
    case "repeated.min_items":
      return { field, reason: text };
    case "string.pattern": {
      const pattern = /`(.*)`/s.exec(text)?.[1] ?? "";
      return { field, reason: `${PATTERN_WORDS.get(pattern) ?? text}${got}` };
    }
    case "string.prefix":
      return {
        field,
        reason: `${text.replace(/^does not have prefix `(.*)`$/, 'must start with "$1"')}${got}`,
      };
    default:
      return {
        field,
        reason: `${text
          .replace(/^must be in list \[(.*)\]$/, "must be one of $1")
          .replace(
            /^must be greater than or equal to (\S+) and less than or equal to (\S+)$/,
            "must be from $1 to $2",
          )
          .replace("greater than or equal to", "at least")
          .replace("less than or equal to", "at most")}${got}`,
      };
  }
}

/** The patterns of the .proto files in words. */
const PATTERN_WORDS: ReadonlyMap<string, string> = new Map([
  ["^[^,/]+$", "must not be empty and must not contain a comma or a slash"],
  [
    String.raw`^[0-9A-Za-z.\-_~\x{80}-\x{10FFFF}]*$`,
    'may have letters, digits, ".", "-", "_", "~" and characters beyond ASCII only',
  ],
  ["^[A-Z]+$", "must be upper-case letters only"],
  [
    "^[A-Za-z0-9_-]+$",
    'must be letters, digits, "-" and "_" only, and not empty',
  ],
  ["^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "must be the name of a header"],
]);

/** The path as the .proto files name it: `healthchecks.active.headers["x"].values[0]`. */
function formatPath(path: Path): string {
  let text = "";
  for (const part of path)
    switch (part.kind) {
      case "list_sub":
        text = `${text}[${part.index}]`;
        break;
      case "map_sub":
        text = `${text}[${show(part.key)}]`;
        break;
      default:
        text = join(text, part.name);
    }
  return text;
}

/** The value that a path leads to; undefined when it leads nowhere. */
function valueAt(root: ReflectMessage, path: Path): unknown {
  let value: unknown = root;
  for (const part of path)
    if (part.kind === "field" && isReflectMessage(value))
      value = value.get(part);
    else if (part.kind === "list_sub" && isReflectList(value))
      value = value.get(part.index);
    else if (part.kind === "map_sub" && isReflectMap(value))
      value = value.get(part.key);
    else return undefined;
  return value;
}

function isSecret(path: Path): boolean {
  return path.some((part) => part.kind === "field" && getOption(part, secret));
}

function isComposite(value: unknown): boolean {
  return value === undefined || (typeof value === "object" && value !== null);
}

function firstRepeated(list: unknown): unknown {
  const seen = new Set<unknown>();
  for (const item of isReflectList(list) ? list : []) {
    if (seen.has(item)) return item;
    seen.add(item);
  }
  return undefined;
}
