import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf } from "../../model/cursor.ts";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import {
  type RevisionRecord,
  type Store,
  type StoredChange,
} from "../store/store.ts";
import {
  describeChange,
  describeRecord,
  inverse,
  NetChanges,
  type ChangeDetail,
  type RevisionInfo,
} from "./history.ts";
import { decodePageToken, encodePageToken, pageSizeOf } from "./pages.ts";
import type { JobBase } from "./job.ts";
import type { Planner } from "./planner.ts";
import { OPERATION_WEIGHT } from "./planner.ts";
import { sortSlices } from "./sorted-keys.ts";
import type { Head } from "./state.ts";

/** A page of the history, newest first. */
export interface HistoryPage {
  readonly revisions: readonly RevisionInfo[];
  /** Empty after the last page. */
  readonly nextPageToken: string;
}

/** One revision with all its changes. */
export interface RevisionDetail {
  readonly revision: RevisionInfo;
  readonly changes: readonly ChangeDetail[];
}

/** What differs between two revisions. */
export interface DiffResult {
  readonly from: Cursor;
  readonly to: Cursor;
  /** Ascending by key. */
  readonly changes: readonly ChangeDetail[];
}

/** What reading the history needs. */
export interface HistoryContext {
  readonly store: Store;
  readonly drive: <T>(work: Slices<T>) => Promise<T>;
}

/** Reads a page of the history. */
export async function listRevisions(
  context: HistoryContext,
  head: Head,
  options: { readonly pageSize?: number; readonly pageToken?: string },
): Promise<HistoryPage> {
  const size = pageSizeOf(options.pageSize);
  const last = decodePageToken("revisions", options.pageToken);
  if (!/^\d{0,20}$/.test(last))
    throw new ConfigError("invalid_argument", `page_token: bad place ${last}`);
  let next = last === "" ? head.cursor.revision : BigInt(last) - 1n;
  const revisions: RevisionInfo[] = [];
  // One at a time: a single record may be as large as a whole configuration.
  for (; revisions.length < size && next > 0n; next--) {
    const record = await readRecord(context, head, next);
    if (record === undefined) break;
    revisions.push(await context.drive(described(record)));
  }
  const oldest = revisions.at(-1)?.cursor.revision ?? 0n;
  const kept = await context.store.oldest(head.snapshot.workspace);
  const more = revisions.length === size && kept !== undefined && oldest > kept;
  return {
    revisions,
    nextPageToken: more ? encodePageToken("revisions", oldest.toString()) : "",
  };
}

/** Reads one revision. */
export async function getRevision(
  context: HistoryContext,
  head: Head,
  revision: bigint,
): Promise<RevisionDetail> {
  const record = await recordOf(context, head, revision);
  return {
    revision: await context.drive(described(record)),
    changes: await context.drive(details(record.changes)),
  };
}

/** Compares two revisions. */
export async function diffRevisions(
  context: HistoryContext,
  head: Head,
  from: bigint,
  to: bigint,
): Promise<DiffResult> {
  const fromCursor = await cursorAt(context, head, from);
  const toCursor = await cursorAt(context, head, to);
  const net = new NetChanges();
  const [low, high] = from < to ? [from, to] : [to, from];
  for (let revision = low + 1n; revision <= high; revision++)
    await addTo(
      net,
      context,
      (await recordOf(context, head, revision)).changes,
    );
  const changes = await context.drive(inOrder(net, from > to));
  return {
    from: fromCursor,
    to: toCursor,
    changes: await context.drive(details(changes)),
  };
}

/**
 * Hands to a planner what brings back the content of an old revision: the history undone from the head on, and what the
 * jobs before in the same batch have done.
 */
export async function planRollback(
  context: HistoryContext,
  planner: Planner,
  { durable, pending }: JobBase,
  revision: bigint,
): Promise<Slices<void>> {
  const net = new NetChanges();
  for (let at = durable.cursor.revision; at > revision; at--)
    await addTo(
      net,
      context,
      (await recordOf(context, durable, at)).changes,
      inverse,
    );
  const target = new Map<string, Uint8Array | undefined>();
  for (const key of pending.entries.keys())
    target.set(key, durable.snapshot.get(key));
  for (const { key, after } of net) target.set(key, after);
  return restoreSlices(planner, target);
}

/** Adds what happened next, some of it at a time: one record may have changed everything. */
async function addTo(
  net: NetChanges,
  { drive }: HistoryContext,
  changes: readonly StoredChange[],
  map = (change: StoredChange): StoredChange => change,
): Promise<void> {
  await drive(
    (function* () {
      for (let at = 0; at < changes.length; at += SLICE_ENTRIES) {
        const some = changes.slice(at, at + SLICE_ENTRIES);
        net.add(some.map(map));
        yield some.length;
      }
    })(),
  );
}

/** The net changes, or their inverse, ascending by key. */
function* inOrder(net: NetChanges, back: boolean): Slices<StoredChange[]> {
  const byKey = new Map<string, StoredChange>();
  for (const change of net) {
    byKey.set(change.key, back ? inverse(change) : change);
    yield 1;
  }
  const changes: StoredChange[] = [];
  for (const key of yield* sortSlices(byKey.keys())) {
    const change = byKey.get(key);
    if (change !== undefined) changes.push(change);
    yield 1;
  }
  return changes;
}

function* restoreSlices(
  planner: Planner,
  target: ReadonlyMap<string, Uint8Array | undefined>,
): Slices<void> {
  for (const [key, value] of target) {
    planner.restore(key, value);
    yield OPERATION_WEIGHT;
  }
}

/** The state that a revision led to. Revision 0 is the empty one. */
export async function cursorAt(
  context: HistoryContext,
  head: Head,
  revision: bigint,
): Promise<Cursor> {
  const { cursor, predecessors, snapshot } = head;
  if (revision === cursor.revision) return cursor;
  if (revision === 0n)
    return cursorOf(
      predecessors[0] ?? cursor.epoch,
      0n,
      Snapshot.empty(snapshot.workspace).root,
    );
  return (await recordOf(context, head, revision)).cursor;
}

/**
 * The record of a revision.
 *
 * @throws ConfigError when there is none, or no more.
 */
export async function recordOf(
  context: HistoryContext,
  head: Head,
  revision: bigint,
): Promise<RevisionRecord> {
  const newest = head.cursor.revision;
  const refuse = (
    code: "not_found" | "out_of_range",
    reason: string,
  ): ConfigError =>
    ConfigError.of(code, [{ kind: "", name: "", field: "revision", reason }]);
  if (revision > newest)
    throw refuse(
      "not_found",
      `there is no revision ${revision}: the head is revision ${newest}`,
    );
  if (revision < 1n)
    throw refuse(
      "not_found",
      `revision ${revision} changed nothing: the first is revision 1, and 0 is the empty state before it`,
    );
  const record = await readRecord(context, head, revision);
  if (record === undefined)
    throw refuse(
      "out_of_range",
      `revision ${revision} is not kept any more: the oldest that is kept is revision ${(await context.store.oldest(head.snapshot.workspace)) ?? newest}, and the head is revision ${newest}`,
    );
  return record;
}

function readRecord(
  { store }: HistoryContext,
  head: Head,
  revision: bigint,
): Promise<RevisionRecord | undefined> {
  return store.record(head.snapshot.workspace, revision);
}

function* described(record: RevisionRecord): Slices<RevisionInfo> {
  const info = describeRecord(record);
  yield OPERATION_WEIGHT * info.changes.length;
  return info;
}

function* details(changes: readonly StoredChange[]): Slices<ChangeDetail[]> {
  const found: ChangeDetail[] = [];
  for (const change of changes) {
    found.push(describeChange(change));
    yield OPERATION_WEIGHT;
  }
  return found;
}
