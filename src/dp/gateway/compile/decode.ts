import type { Bucket, Snapshot } from "../../../model/snapshot.ts";
import type { Slices } from "../../../model/slices.ts";
import {
  draftOf,
  type Draft,
  type DraftContext,
  type EntryProblem,
} from "./draft.ts";

/** Entries handled between two yields of a compilation, at most: reading and checking one takes some 0.1 ms. */
export const COMPILE_SLICE_ENTRIES = 32;

/** The entries of one bucket, read. */
export interface BucketDrafts {
  readonly bucket: Bucket;
  readonly byKey: ReadonlyMap<string, Draft>;
}

/** What reading all entries came to. */
export interface Decoded {
  readonly drafts: ReadonlyMap<number, BucketDrafts>;
  readonly problems: readonly EntryProblem[];
}

/** Reads all entries of a snapshot; those that are the same in `previous` are taken from there. */
export function* decodeSlices(
  snapshot: Snapshot,
  previous: ReadonlyMap<number, BucketDrafts>,
  context: DraftContext,
): Slices<Decoded> {
  const drafts = new Map<number, BucketDrafts>();
  const problems: EntryProblem[] = [];
  let handled = 0;
  for (const [index, bucket] of snapshot.buckets()) {
    const before = previous.get(index);
    if (before?.bucket === bucket) {
      drafts.set(index, before);
      handled += 1;
    } else {
      const byKey = new Map<string, Draft>();
      for (const { key, value } of bucket.entries()) {
        const old = before?.byKey.get(key);
        const same =
          old !== undefined &&
          Buffer.compare(before?.bucket.get(key) ?? NOTHING, value) === 0;
        const draft = same ? old : draftOf(key, value, context);
        if ("kind" in draft) byKey.set(key, draft);
        else problems.push(...draft);
        if (++handled >= COMPILE_SLICE_ENTRIES) {
          yield handled;
          handled = 0;
        }
      }
      drafts.set(index, { bucket, byKey });
    }
    if (handled >= COMPILE_SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
  return { drafts, problems };
}

const NOTHING = Buffer.alloc(0);
