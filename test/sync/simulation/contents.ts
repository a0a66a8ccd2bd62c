import { createHash } from "node:crypto";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import type {
  BucketDigest,
  Feature,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import type { FeatureNeed } from "../../../src/sync/features.ts";
import { cursorsEqual } from "../../../src/model/cursor.ts";
import { LIMITS } from "../../../src/sync/limits.ts";

/**
 * A configuration, so small that ten thousand schedules of them take seconds: six buckets of one entry each, in a number.
 * Each bucket has three bits; 0 is an empty one. Equal numbers, equal contents, equal roots.
 */
export type Content = number;

export const SLOTS = 6;
const VALUES = 8;
const BITS = 3;
const MASK = VALUES - 1;

export const EMPTY: Content = 0;

/** What a bucket holds. */
export function slotOf(content: Content, slot: number): number {
  return (content >> (slot * BITS)) & MASK;
}

/** The content with another value in one bucket. */
export function withSlot(
  content: Content,
  slot: number,
  value: number,
): Content {
  return (content & ~(MASK << (slot * BITS))) | (value << (slot * BITS));
}

const roots = new Map<Content, string>();

/** The root that proves a content. */
export function rootOf(content: Content): string {
  let root = roots.get(content);
  if (root === undefined) {
    root = createHash("sha256").update(`content ${content}`).digest("hex");
    roots.set(content, root);
  }
  return root;
}

/** Few fit in the window together, and one fills it alone. */
function sizeOf(value: number): number {
  return value === MASK ? LIMITS.bucketWindowBytes : value * 600_000;
}

const digests: readonly BucketDigest[] = Array.from(
  { length: SLOTS * VALUES },
  (_, at) => ({
    $typeName: "holdfast.sync.v1.BucketDigest",
    index: Math.floor(at / VALUES),
    hash: Uint8Array.of(at % VALUES),
    size: sizeOf(at % VALUES),
  }),
);

/** The digest of a bucket with a value: its hash is the value. */
export function digestOf(slot: number, value: number): BucketDigest {
  const digest = digests[slot * VALUES + value];
  if (digest === undefined) throw new RangeError(`bucket ${slot} is ${value}`);
  return digest;
}

/** What a digest proves. */
export function valueOf(digest: BucketDigest): number {
  return digest.hash[0] ?? 0;
}

interface Inventory {
  readonly digests: readonly BucketDigest[];
  readonly totals: {
    readonly buckets: number;
    readonly entries: bigint;
    readonly bytes: bigint;
  };
}

const inventories = new Map<Content, Inventory>();

/** The buckets of a content that are not empty, and what a Manifest says of them together. */
export function inventoryOf(content: Content): Inventory {
  let inventory = inventories.get(content);
  if (inventory === undefined) {
    const held: BucketDigest[] = [];
    let bytes = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      const value = slotOf(content, slot);
      if (value === 0) continue;
      held.push(digestOf(slot, value));
      bytes += sizeOf(value);
    }
    inventory = {
      digests: held,
      totals: {
        buckets: held.length,
        entries: BigInt(held.length),
        bytes: BigInt(bytes),
      },
    };
    inventories.set(content, inventory);
  }
  return inventory;
}

/** Which buckets differ. */
export function differingSlots(a: Content, b: Content): readonly number[] {
  const slots: number[] = [];
  for (let slot = 0; slot < SLOTS; slot++)
    if (slotOf(a, slot) !== slotOf(b, slot)) slots.push(slot);
  return slots;
}

/** How many entries of `held` are not in `next`, and how many there are. */
export function lossOf(
  held: Content,
  next: Content,
): { readonly removed: number; readonly held: number } {
  let removed = 0;
  let count = 0;
  for (let slot = 0; slot < SLOTS; slot++) {
    if (slotOf(held, slot) === 0) continue;
    count++;
    if (slotOf(next, slot) === 0) removed++;
  }
  return { removed, held: count };
}

/** The bucket whose high values need a kind of resource that old builds lack, and the one with the plugin. */
const KIND_SLOT = 4;
const PLUGIN_SLOT = 5;
const NEEDY = 5;

const KIND: FeatureNeed = { name: "kind/new", version: 1, keys: [] };
const PLUGIN: FeatureNeed = { name: "plugin/new", version: 2, keys: [] };
const NEEDS: readonly (readonly FeatureNeed[])[] = [
  [],
  [KIND],
  [PLUGIN],
  [KIND, PLUGIN],
];

/** What a content needs of a node. */
function needsOf(content: Content): readonly FeatureNeed[] {
  const kind = slotOf(content, KIND_SLOT) >= NEEDY ? 1 : 0;
  const plugin = slotOf(content, PLUGIN_SLOT) >= NEEDY ? 2 : 0;
  return NEEDS[kind | plugin] ?? [];
}

function feature(name: string, version: number): Feature {
  return { $typeName: "holdfast.sync.v1.Feature", name, version };
}

/** What nodes can do: all, not the kind, only an old version of the plugin, the latter but leniently. */
export const FEATURES: readonly (readonly Feature[])[] = [
  [feature("kind/new", 1), feature("plugin/new", 2)],
  [feature("plugin/new", 2)],
  [feature("kind/new", 1), feature("plugin/new", 1)],
  [
    feature("kind/new", 1),
    feature("plugin/new", 1),
    feature("config/fail-route", 1),
  ],
];

/** One state of one history. */
export interface State {
  readonly cursor: Cursor;
  readonly content: Content;
  readonly needs: readonly FeatureNeed[];
  /** What it was made from: the state before it in this history, or in the one it replaced on purpose. */
  readonly parent: State | undefined;
  /** Epochs that this state's epoch has replaced on purpose. */
  readonly predecessors: readonly string[];
}

/** A state of a content. */
export function stateOf(
  epoch: string,
  revision: bigint,
  content: Content,
  parent: State | undefined,
  predecessors: readonly string[],
): State {
  return {
    cursor: {
      $typeName: "holdfast.config.v1.Cursor",
      epoch,
      revision,
      root: rootOf(content),
    },
    content,
    needs: needsOf(content),
    parent,
    predecessors,
  };
}

/** Whether `state` came before `later` in its history, or is it. Equal cursors, equal states, whoever made them. */
export function isAncestor(state: State, later: State): boolean {
  for (let at: State | undefined = later; at !== undefined; at = at.parent)
    if (at === state || cursorsEqual(at.cursor, state.cursor)) return true;
  return false;
}
