import { BUCKET_COUNT, type Entry } from "../../../model/bucket.ts";
import { diffBucket } from "../../../model/diff.ts";
import type { Snapshot } from "../../../model/snapshot.ts";
import type { Slices } from "../../../model/slices.ts";
import {
  draftOf,
  type Draft,
  type DraftContext,
  type EntryProblem,
} from "./draft.ts";

/** Entries handled between two yields of a compilation, at most: reading and checking one takes some 0.1 ms. */
export const COMPILE_SLICE_ENTRIES = 32;

/** An entry that is not what it was. */
export interface DraftChange {
  readonly key: string;
  /** Undefined when there is none any more. */
  readonly draft: Draft | undefined;
}

/** What reading the entries that changed came to. */
export interface Read {
  readonly changes: readonly DraftChange[];
  readonly problems: readonly EntryProblem[];
}

/** Reads the entries of a snapshot that are not the same in the one before. */
export function* readChanges(
  previous: Snapshot | undefined,
  snapshot: Snapshot,
  context: DraftContext,
): Slices<Read> {
  const changes: DraftChange[] = [];
  const problems: EntryProblem[] = [];
  let handled = 0;
  for (let index = 0; index < BUCKET_COUNT; index++) {
    const before = previous?.bucket(index);
    const bucket = snapshot.bucket(index);
    if (before === bucket) continue;
    const puts: Entry[] = [];
    const deletes: string[] = [];
    diffBucket(before, bucket, puts, deletes);
    for (const key of deletes) {
      changes.push({ key, draft: undefined });
      context.instances.drop(key);
    }
    for (const { key, value } of puts) {
      const draft = draftOf(key, value, context);
      if (draft === undefined) continue;
      if ("kind" in draft) changes.push({ key, draft });
      else problems.push(...draft);
      if (++handled === COMPILE_SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
  }
  yield handled;
  return { changes, problems };
}
