import { createHash } from "node:crypto";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "../../model/kinds.ts";
import type { Slices } from "../../model/slices.ts";
import { nameOf } from "../../model/unique.ts";
import { decodeResource } from "./resource.ts";
import { sortSlices } from "./sorted-keys.ts";
import type { State } from "./state.ts";

/** What the resources of a list must meet, all of it. */
export interface ListFilter {
  /** They have all of these. Default: any. */
  readonly tags?: readonly string[];
  /** They have at least one of these. Default: any. */
  readonly anyTags?: readonly string[];
  /** The key of their kind begins with this. Default: any. */
  readonly namePrefix?: string;
  /** They refer to this one. Default: to whatever. */
  readonly refersTo?: {
    readonly kind: Kind;
    readonly id?: string;
    readonly name?: string;
  };
}

/** What the token of a page is one of: the same kind and the same conditions. */
export function filterName(kind: Kind, filter: ListFilter): string {
  const { tags = [], anyTags = [], namePrefix = "", refersTo } = filter;
  const conditions = [
    [...tags].sort(),
    [...anyTags].sort(),
    namePrefix,
    refersTo === undefined
      ? ""
      : [refersTo.kind, refersTo.id ?? "", refersTo.name ?? ""],
  ];
  if (conditions.every((one) => one.length === 0)) return kind;
  const digest = createHash("sha256").update(JSON.stringify(conditions));
  return `${kind} with these conditions (${digest.digest("hex").slice(0, 16)})`;
}

/**
 * Whether an entry meets the conditions that can be seen in itself: true without decoding when there are none, else the
 * resource or false.
 */
export function passes(
  value: Uint8Array,
  { tags = [], anyTags = [], namePrefix = "" }: ListFilter,
): Resource | boolean {
  if (tags.length === 0 && anyTags.length === 0 && namePrefix === "")
    return true;
  const resource = decodeResource(value);
  const has = resource.kind.value?.tags ?? [];
  return (
    tags.every((tag) => has.includes(tag)) &&
    (anyTags.length === 0 || anyTags.some((tag) => has.includes(tag))) &&
    (namePrefix === "" || nameOf(resource).startsWith(namePrefix)) &&
    resource
  );
}

/** The keys with a prefix that come after one, ascending: all, or only those of what refers to an entry. */
export function* keysToRead(
  { keys, view }: State,
  prefix: string,
  after: string,
  referred: string | undefined,
): Slices<Iterable<string>> {
  if (referred === undefined) return keys.after(after, prefix);
  const referrers: string[] = [];
  // In one go: the next turn of the event loop may change what the view says.
  for (const key of view.referrers(referred))
    if (key > after && key.startsWith(prefix)) referrers.push(key);
  yield referrers.length;
  return yield* sortSlices(referrers);
}
