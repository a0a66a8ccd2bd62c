import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";

/** What a revision did to one entry. `before` is missing when it was created, `after` when it was deleted. */
export interface StoredChange {
  readonly key: string;
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
}

/** One entry of a workspace's history. With `before` and `after` of each change it can be done again and undone. */
export interface RevisionRecord {
  /** The state that the revision led to. */
  readonly cursor: Cursor;
  /** When it was committed: milliseconds since the Unix epoch. */
  readonly timeMs: number;
  readonly author: string;
  readonly message: string;
  /** No key occurs twice. Ascending by key. */
  readonly changes: readonly StoredChange[];
}

/** The answer that a repeated request with the same key gets again. */
export interface IdempotentAnswer {
  readonly key: string;
  /** Of the request: another request under the same key is a mistake of the caller. */
  readonly digest: string;
  readonly answer: Uint8Array;
  /** When it was given: milliseconds since the Unix epoch. */
  readonly timeMs: number;
}

/** What one transaction leaves behind. A transaction that changed nothing has no record. */
export interface Commit {
  readonly record?: RevisionRecord;
  readonly idempotency?: IdempotentAnswer;
}

/** When an entry was created and last changed: milliseconds since the Unix epoch. */
export interface EntryTimes {
  readonly createdMs: number;
  readonly updatedMs: number;
}

/** What is kept about a data plane: an encoded `holdfast.admin.v1.Node`. */
export interface NodeRecord {
  readonly id: string;
  readonly data: Uint8Array;
}

/** A state that somebody has chosen to keep nodes at. */
export interface HoldRecord {
  /** The node that is pinned to it. Absent: the workspace is paused at it. */
  readonly node?: string;
  readonly cursor: Cursor;
  /** When that was said: milliseconds since the Unix epoch. */
  readonly timeMs: number;
}

/** Epochs that a history has replaced: this many are remembered, the newest. */
export const PREDECESSORS = 64;

/** How long a repeated request gets its first answer. */
export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;

/**
 * Keeps configurations durably. Failures are `ConfigError`s: `unavailable` (the outcome of a commit is then unknown),
 * `resource_exhausted` (the disk is full), `failed_precondition` (somebody has to do something, which the message says).
 *
 * After a commit that failed, what was to be committed is there as a whole or not at all; `records` from the revision
 * after the last one known says which, and the next commit is refused with `aborted` if its base is not the head.
 */
export interface Store extends AsyncDisposable {
  /** The names of all workspaces, ascending: also of those that turn out damaged when they are loaded. */
  workspaces(): Promise<readonly string[]>;
  /**
   * Makes a workspace with an epoch of its own, durably and in one step: empty, or with a first revision. Refused with
   * `already_exists` when there is one of that name.
   */
  create(workspace: string, first?: FirstRevision): Promise<StoredHead>;
  /**
   * Removes a workspace and its history, durably and in one step; nothing happens when there is none. What it took is
   * given free by `reclaim`.
   */
  remove(workspace: string): Promise<void>;
  /** The names of workspaces that were removed and still take space. */
  removed(): Promise<readonly string[]>;
  /**
   * Gives free what a removed workspace took, a little at a time; what is left when the signal is aborted, another time.
   * Nobody may use the name meanwhile.
   */
  reclaim(workspace: string, signal?: AbortSignal): Promise<void>;
  /**
   * Reads a workspace and proves that it is whole. One that is not there yet is created, with a new epoch.
   */
  load(workspace: string): Promise<LoadedWorkspace>;
  /**
   * Makes all of these durable in one step, in their order, or none of them. The first record's revision is the head's
   * plus one, and so on. One call a workspace at a time.
   */
  commit(workspace: string, commits: readonly Commit[]): Promise<void>;
  /** Which state a workspace that was loaded is in, as it is stored: after a failure, what became of it. */
  head(workspace: string): Promise<StoredHead>;
  /**
   * Gives the history a new epoch, durably, in place of `from`: content, revision and records stay. Refused with
   * `aborted` when the epoch is another one. Never during a `commit`.
   */
  adopt(
    workspace: string,
    options: { readonly from: string },
  ): Promise<StoredHead>;
  /** Records, newest first: those before a revision, or the newest. */
  history(
    workspace: string,
    options: { readonly before?: bigint; readonly limit: number },
  ): Promise<readonly RevisionRecord[]>;
  /** The record of one revision; undefined when there is none, or no more. */
  record(
    workspace: string,
    revision: bigint,
  ): Promise<RevisionRecord | undefined>;
  /** The records from one revision to another, both included, ascending. Those that are not kept are left out. */
  records(
    workspace: string,
    from: bigint,
    to: bigint,
  ): AsyncIterable<RevisionRecord>;
  /** The revision of the oldest record that is kept; undefined when there is none. */
  oldest(workspace: string): Promise<bigint | undefined>;
  /**
   * Forgets the oldest records that are superfluous, never the head's: so many at most in one step, which other writes
   * hardly wait for. Says how many. Not synced: what comes back after a crash is forgotten again.
   */
  compact(workspace: string, superfluous: Superfluous): Promise<number>;
  /** The times of entries, in the order asked for. */
  times(
    workspace: string,
    keys: readonly string[],
  ): Promise<readonly (EntryTimes | undefined)[]>;
  /** The answer given under an idempotency key; may be older than `IDEMPOTENCY_MS`. */
  idempotent(
    workspace: string,
    key: string,
  ): Promise<IdempotentAnswer | undefined>;
  /** All nodes of a workspace, by ascending id. */
  loadNodes(workspace: string): Promise<readonly NodeRecord[]>;
  /** Replaces some nodes and forgets others. Not synced: a node's state is learnt again. */
  saveNodes(
    workspace: string,
    put: readonly NodeRecord[],
    remove: readonly string[],
  ): Promise<void>;
  /** The pins of a workspace, by ascending node, and its pause. */
  loadHolds(workspace: string): Promise<readonly HoldRecord[]>;
  /**
   * Puts pins and the pause, and removes some, in one durable step. `undefined` among what is removed is the pause.
   * Refused with `out_of_range` when the history does not lead back any more to a state that is put.
   */
  saveHolds(
    workspace: string,
    put: readonly HoldRecord[],
    remove: readonly (string | undefined)[],
  ): Promise<void>;
}

/** Which records of a history are to go. */
export interface Superfluous {
  /** Those before this revision. */
  readonly before: bigint;
  /** And the oldest, as long as they were made before this time: milliseconds since the Unix epoch. Default: none. */
  readonly beforeMs?: number;
  /**
   * But none from this revision on, however old. Asked again when nothing else can be written any more before they go:
   * what was said to be kept meanwhile is. Default: only the head's stays.
   */
  readonly keepFrom?: () => bigint | undefined;
  /** So many in one step, at most. */
  readonly limit: number;
}

/** What a workspace begins with. */
export type FirstRevision = Omit<RevisionRecord, "cursor"> & {
  /** Of the state that the changes make of nothing. */
  readonly root: string;
};

/** Which state a history has come to. */
export interface StoredHead {
  readonly cursor: Cursor;
  /** The epochs that the cursor's has replaced, oldest first; the newest `PREDECESSORS` of them. */
  readonly predecessors: readonly string[];
}

/** A workspace as it was found. */
export interface LoadedWorkspace extends StoredHead {
  readonly snapshot: Snapshot;
  /** The keys of all entries in ascending order, where the store has read them in that order anyway. */
  readonly keys?: () => Iterable<string>;
}
