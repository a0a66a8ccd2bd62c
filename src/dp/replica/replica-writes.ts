import { create, toBinary } from "@bufbuild/protobuf";
import {
  CursorSchema,
  type Cursor,
} from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  HelloSchema,
  type Refusal,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { diffSlices } from "../../model/diff.ts";
import { Snapshot, type Changes } from "../../model/snapshot.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { ENTRY, META, seal, sealJson, text, type Database } from "./format.ts";
import { writeInverse, type InverseHead } from "./inverse.ts";
import type { State } from "./last-good.ts";
import { trialsToJson, type Trials } from "./trials.ts";

/** What goes with a state into its batch, and how. */
export interface Beside {
  readonly refusals?: readonly Refusal[];
  readonly trials?: Trials;
  /** Whether one may go back to what was there. Default: yes. */
  readonly undoable?: boolean;
  /** Hears from time to time how many of how many changes are on their way. Default: nobody does. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes a state over the one that is there, its name, and what undoes the change, in one synced batch. Returns what is
 * known of the latter.
 */
export async function writeState(
  db: Database,
  options: {
    readonly workspace: string;
    readonly refuser: string;
    /** What is there. */
    readonly before: State | undefined;
    readonly inverse: InverseHead | undefined;
  },
  state: State,
  beside: Beside = {},
): Promise<InverseHead> {
  const { workspace, refuser, before, inverse } = options;
  const changes = await driveSlices(
    diffSlices(before?.snapshot ?? Snapshot.empty(workspace), state.snapshot),
  );
  // Each change is written, and so is what undoes it.
  const total = 2 * (changes.puts.length + changes.deletes.length);
  let done = 0;
  const onYield = (entries: number): void => {
    done += entries;
    beside.onProgress?.(done, total);
  };
  const batch = db.batch();
  try {
    await driveSlices(fill(batch, changes), { onYield });
    const head = await driveSlices(
      writeInverse(
        batch,
        beside.undoable === false ? undefined : before,
        state.cursor,
        changes,
        inverse?.parts ?? 0,
      ),
      { onYield },
    );
    batch.put(META.workspace, text(workspace));
    batch.put(META.cursor, sealedCursor(state.cursor));
    if (beside.refusals !== undefined)
      batch.put(META.refusals, sealedRefusals(refuser, beside.refusals));
    if (beside.trials !== undefined)
      batch.put(META.trials, sealJson(trialsToJson(beside.trials, refuser)));
    await batch.write({ sync: true });
    return head;
  } catch (error) {
    await batch.close();
    throw error;
  }
}

/** Writes what the node refused, and what it has under trial if that is given. */
export async function writeRefusals(
  db: Database,
  refuser: string,
  refusals: readonly Refusal[],
  trials?: Trials,
): Promise<void> {
  const batch = db.batch();
  try {
    batch.put(META.refusals, sealedRefusals(refuser, refusals));
    if (trials !== undefined)
      batch.put(META.trials, sealJson(trialsToJson(trials, refuser)));
    await batch.write({ sync: true });
  } catch (error) {
    await batch.close();
    throw error;
  }
}

/**
 * Writes which states are on trial. Not synced: what it is for is a process that dies, and what was handed to the system
 * outlives that. The next state's batch syncs what was written before it.
 */
export async function writeTrials(
  db: Database,
  build: string,
  trials: Trials,
): Promise<void> {
  await db.put(META.trials, sealJson(trialsToJson(trials, build)));
}

/** Writes when a control plane last confirmed what is served. Not synced: a few seconds less do no harm. */
export async function writeConfirmed(
  db: Database,
  atMs: number,
): Promise<void> {
  await db.put(META.confirmed, sealJson({ at_ms: atMs }));
}

function* fill(
  batch: {
    put(key: string, value: Uint8Array): unknown;
    del(key: string): unknown;
  },
  changes: Changes,
): Slices<undefined> {
  let handled = 0;
  for (const key of changes.deletes) {
    batch.del(ENTRY + key);
    if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
  }
  for (const { key, value } of changes.puts) {
    batch.put(ENTRY + key, value);
    if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
  }
  return undefined;
}

function sealedCursor(cursor: Cursor): Uint8Array {
  return seal(toBinary(CursorSchema, cursor));
}

function sealedRefusals(
  refuser: string,
  refusals: readonly Refusal[],
): Uint8Array {
  const hello = create(HelloSchema, {
    node: { build: refuser },
    refused: [...refusals],
  });
  return seal(toBinary(HelloSchema, hello));
}
