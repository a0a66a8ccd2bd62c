import type { Bucket } from "../../model/bucket.ts";
import { diffSlices } from "../../model/diff.ts";
import type { Slices } from "../../model/slices.ts";
import { Snapshot, type Changes } from "../../model/snapshot.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { Frame } from "../../sync/replica/state.ts";
import type { State } from "../replica/last-good.ts";
import type { Staging } from "./staging.ts";

/** What came of verifying a state. */
export interface Verdict {
  /** What is wrong with it; absent when it is what was announced. */
  readonly damage?: string;
  /** Of another epoch than the served state: how many of its entries it does not have. */
  readonly loses?: { readonly removed: number; readonly held: number };
}

/** What a frame's state is made of. */
export interface Parts {
  readonly workspace: string;
  /** The buckets that came. */
  readonly staging: Staging;
  readonly served: State | undefined;
  /** What a delta changes. */
  readonly changes: Changes | undefined;
}

/** Hears how many entries were handled since it last did. */
type OnEntries = (entries: number) => void;

/** Builds the snapshot of a frame and compares its root. Returns what is wrong with it when it is not what was announced. */
export async function verifyFrame(
  frame: Frame,
  parts: Parts,
  onEntries: OnEntries,
): Promise<Snapshot | string> {
  const snapshot =
    frame.type === "delta"
      ? await driveSlices(patchSlices(parts), { onYield: onEntries })
      : assemble(frame, parts);
  if (typeof snapshot === "string") return snapshot;
  const root = await driveSlices(snapshot.hashSlices(), { onYield: onEntries });
  if (root !== frame.to.root)
    return `the content has root ${root}, announced was ${frame.to.root}`;
  if (
    frame.type === "manifest" &&
    BigInt(snapshot.entryCount) !== frame.totals.entries
  )
    return `the content has ${snapshot.entryCount} entries, announced were ${frame.totals.entries}`;
  return snapshot;
}

/** What following another history would cost. */
export async function losesOf(
  served: State,
  snapshot: Snapshot,
  onEntries: OnEntries,
): Promise<Verdict["loses"]> {
  const { deletes } = await driveSlices(diffSlices(served.snapshot, snapshot), {
    onYield: onEntries,
  });
  return { removed: deletes.length, held: served.snapshot.entryCount };
}

function patchSlices({ workspace, served, changes }: Parts): Slices<Snapshot> {
  const base = served?.snapshot ?? Snapshot.empty(workspace);
  return base.applySlices(changes ?? { puts: [], deletes: [] });
}

function assemble(
  frame: Extract<Frame, { type: "manifest" }>,
  { workspace, staging, served }: Parts,
): Snapshot | string {
  // No hashes although there is content: the control plane says that this node has it already.
  if (frame.buckets.length === 0 && frame.totals.buckets > 0)
    return (
      served?.snapshot ?? "the manifest has no hashes and nothing is served"
    );
  const buckets: [number, Bucket][] = [];
  for (const digest of frame.buckets) {
    const bucket = staging.bucket(digest, served?.snapshot);
    if (bucket === undefined) return `bucket ${digest.index} did not come`;
    buckets.push([digest.index, bucket]);
  }
  return Snapshot.ofBuckets(workspace, buckets);
}
