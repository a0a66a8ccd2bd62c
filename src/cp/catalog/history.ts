import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { nameOf } from "../../model/unique.ts";
import type { RevisionRecord, StoredChange } from "../store/store.ts";
import type { ChangeInfo } from "./operation.ts";
import { decodeResource, partsOf } from "./resource.ts";

/** Changes that a description of a revision lists, at most. */
const DESCRIBED_CHANGES = 1000;

/** One revision, for people. */
export interface RevisionInfo {
  readonly cursor: Cursor;
  readonly timeMs: number;
  readonly author: string;
  readonly message: string;
  /** The first 1000. */
  readonly changes: readonly ChangeInfo[];
  readonly changeCount: number;
}

/** What happened to one resource, with its values (encoded `Resource`s) before and after. */
export interface ChangeDetail {
  readonly change: ChangeInfo;
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
}

/** Says what a record is, without the values. */
export function describeRecord(record: RevisionRecord): RevisionInfo {
  return {
    cursor: record.cursor,
    timeMs: record.timeMs,
    author: record.author,
    message: record.message,
    changes: record.changes
      .slice(0, DESCRIBED_CHANGES)
      .map((change) => changeInfo(change)),
    changeCount: record.changes.length,
  };
}

/** Says what a change is, with the values. */
export function describeChange(change: StoredChange): ChangeDetail {
  return {
    change: changeInfo(change),
    ...(change.before === undefined ? {} : { before: change.before }),
    ...(change.after === undefined ? {} : { after: change.after }),
  };
}

/**
 * Says what a change is, without the values.
 *
 * @param decoded What the newer of them stands for, where that is known already.
 */
export function changeInfo(
  { key, before, after }: StoredChange,
  decoded?: Resource,
): ChangeInfo {
  const value = after ?? before;
  return {
    ...partsOf(key),
    name: value === undefined ? "" : nameOf(decoded ?? decodeResource(value)),
    action:
      before === undefined
        ? "create"
        : after === undefined
          ? "delete"
          : "update",
  };
}

/** The net effect of changes that came one after the other, by key: what was before the first, and after the last. */
export class NetChanges {
  readonly #changes = new Map<string, StoredChange>();

  /** Adds what happened next. */
  add(changes: readonly StoredChange[]): void {
    for (const change of changes) {
      const { key, after } = change;
      const first = this.#changes.get(key) ?? change;
      this.#changes.set(key, {
        key,
        ...(first.before === undefined ? {} : { before: first.before }),
        ...(after === undefined ? {} : { after }),
      });
    }
  }

  /** What is left of it; nothing of what came back to what it was. */
  *[Symbol.iterator](): Generator<StoredChange, void, undefined> {
    for (const change of this.#changes.values()) {
      const { before, after } = change;
      const same =
        before === undefined || after === undefined
          ? before === after
          : Buffer.compare(before, after) === 0;
      if (!same) yield change;
    }
  }

  /** How many entries were changed, those included that came back to what they were. */
  get size(): number {
    return this.#changes.size;
  }
}

/** A change done the other way round. */
export function inverse({ key, before, after }: StoredChange): StoredChange {
  return {
    key,
    ...(after === undefined ? {} : { before: after }),
    ...(before === undefined ? {} : { after: before }),
  };
}
