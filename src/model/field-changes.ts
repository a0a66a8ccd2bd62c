import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { resourceToJson } from "./resource-json.ts";

/** A field of a resource, or a part of one, with another value than before. */
export interface FieldChange {
  /** "healthchecks.active.timeout", "paths[1]", `headers["x-a"].values[0]` */
  readonly path: string;
  /** JSON. Absent when there was no value, or it is not shown. */
  readonly before?: string;
  /** The same of the new value. */
  readonly after?: string;
  /** Whether it is a secret that both sides hide. */
  readonly secret: boolean;
}

/** A value as it is, which decides whether it has changed, and as it is shown. */
interface Value {
  readonly clear: JsonValue | undefined;
  readonly shown: JsonValue | undefined;
}

/**
 * What is different between two forms of a resource, in the order of its fields. A plugin's name says what of its
 * configuration is secret: between plugins of two names the whole configuration counts as one secret that has changed,
 * equal or not, unless all may be seen.
 *
 * @param show Makes of a resource what may be seen of it. Default: all may.
 */
export function fieldChanges(
  before: Resource,
  after: Resource,
  show: (resource: Resource) => Resource = (resource) => resource,
): FieldChange[] {
  const was = valueOf(before, show);
  const is = valueOf(after, show);
  const hides = was.clear !== was.shown || is.clear !== is.shown;
  if (!hides || pluginName(before) === pluginName(after))
    return [...changesIn("", was, is)];
  return [
    ...changesIn("", withoutConfig(was), withoutConfig(is)),
    { path: CONFIG, secret: true },
  ];
}

const CONFIG = "config";

function pluginName({ kind }: Resource): string | undefined {
  return kind.case === "plugin" ? kind.value.name : undefined;
}

function withoutConfig({ clear, shown }: Value): Value {
  const without = (body: JsonValue | undefined): JsonValue | undefined =>
    isObject(body)
      ? Object.fromEntries(
          Object.entries(body).filter(([field]) => field !== CONFIG),
        )
      : body;
  return { clear: without(clear), shown: without(shown) };
}

function valueOf(
  resource: Resource,
  show: (resource: Resource) => Resource,
): Value {
  const visible = show(resource);
  const clear = bodyOf(resource);
  return { clear, shown: visible === resource ? clear : bodyOf(visible) };
}

/** The fields of a resource, without the name of its kind around them and without what writing sets by itself. */
function bodyOf(resource: Resource): JsonValue | undefined {
  const [body] = Object.values(resourceToJson(resource));
  if (!isObject(body)) return body;
  return Object.fromEntries(
    Object.entries(body).filter(
      ([field]) => field !== "created_at" && field !== "updated_at",
    ),
  );
}

function* changesIn(
  path: string,
  before: Value,
  after: Value,
): Generator<FieldChange> {
  if (isObject(before.clear) && isObject(after.clear)) {
    const keys = new Set([
      ...Object.keys(before.clear),
      ...Object.keys(after.clear),
    ]);
    for (const key of keys)
      yield* changesIn(
        path === "" ? key : `${path}${step(key)}`,
        within(before, key),
        within(after, key),
      );
  } else if (Array.isArray(before.clear) && Array.isArray(after.clear))
    yield* changesInList(path, before, after);
  else if (textOf(before.clear) !== textOf(after.clear))
    yield leaf(path, before, after);
}

/** What is in both lists has not changed, wherever it stands; of the others, those at the same place belong together. */
function* changesInList(
  path: string,
  before: Value,
  after: Value,
): Generator<FieldChange> {
  const were = itemsOf(before);
  const are = itemsOf(after);
  const left = new Map<string, number>();
  for (const { text } of were) left.set(text, (left.get(text) ?? 0) + 1);
  const added = new Set<number>();
  for (const [i, { text }] of are.entries()) {
    const count = left.get(text) ?? 0;
    if (count === 0) added.add(i);
    else left.set(text, count - 1);
  }
  const removed = new Set<number>();
  // From the end: of equal ones, those that come first have stayed.
  for (let i = were.length - 1; i >= 0; i--) {
    const text = were[i]?.text ?? "";
    const count = left.get(text) ?? 0;
    if (count === 0) continue;
    removed.add(i);
    left.set(text, count - 1);
  }
  const isSame =
    added.size + removed.size === 0 &&
    were.every((was, i) => was.text === are[i]?.text);
  if (isSame) return;
  if (added.size + removed.size === 0)
    // Only the order is another.
    yield leaf(path, before, after);
  const last = Math.max(were.length, are.length);
  for (let i = 0; i < last; i++) {
    const was = removed.has(i) ? were[i] : undefined;
    const is = added.has(i) ? are[i] : undefined;
    if (was !== undefined || is !== undefined)
      yield* changesIn(`${path}[${i}]`, was ?? NOTHING, is ?? NOTHING);
  }
}

const NOTHING: Value = { clear: undefined, shown: undefined };

function itemsOf(list: Value): (Value & { readonly text: string })[] {
  const { clear, shown } = list;
  if (!Array.isArray(clear)) return [];
  return clear.map((item, i) => ({
    clear: item,
    shown: Array.isArray(shown) ? shown[i] : shown,
    text: JSON.stringify(item),
  }));
}

function leaf(path: string, before: Value, after: Value): FieldChange {
  const was = textOf(before.shown);
  const is = textOf(after.shown);
  if (was === is) return { path, secret: true };
  return {
    path,
    ...(was === undefined ? {} : { before: was }),
    ...(is === undefined ? {} : { after: is }),
    secret: false,
  };
}

function textOf(value: JsonValue | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

/** What is below a key. Of what is shown as one text, all is. */
function within({ clear, shown }: Value, key: string): Value {
  const has = isObject(clear) && Object.hasOwn(clear, key);
  if (!has) return NOTHING;
  return {
    clear: clear[key],
    shown: isObject(shown) ? shown[key] : shown,
  };
}

function step(key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key)
    ? `.${key}`
    : `[${JSON.stringify(key)}]`;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
