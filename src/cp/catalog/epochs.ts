import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Store } from "../store/store.ts";
import type { Head } from "./state.ts";

/** Cursors of records that are remembered: nodes that connect together mostly were together before. */
const REMEMBERED = 256;

/** Which states a history went through. Nodes say what they have, and this tells whether that is of the same history. */
export class Past {
  readonly #store: Store;
  /** Records never change, so what was read of one stays right. */
  readonly #records = new Map<bigint, Promise<Cursor | undefined>>();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Whether a history that has come to `head` went through exactly this state. One of a revision whose record is not
   * kept any more counts as such when its epoch does: nothing says otherwise.
   */
  async knows(head: Head, cursor: Cursor): Promise<boolean> {
    if (cursorsEqual(head.cursor, cursor)) return true;
    const root = await this.#rootAt(head, cursor.epoch, cursor.revision);
    return root === "not kept" || root === cursor.root;
  }

  /** Whether a history that has come to `head` was at this revision under this epoch. */
  async passed(head: Head, epoch: string, revision: bigint): Promise<boolean> {
    return (await this.#rootAt(head, epoch, revision)) !== undefined;
  }

  /** The root of the state of an epoch and revision; undefined when the history went through none such. */
  async #rootAt(
    head: Head,
    epoch: string,
    revision: bigint,
  ): Promise<string | undefined> {
    const epochs = [...head.predecessors, head.cursor.epoch];
    if (!epochs.includes(epoch) || revision > head.cursor.revision)
      return undefined;
    // An epoch begins with the state that the one before had come to: between two records there may be several.
    const { workspace } = head.snapshot;
    const at = await this.#cursorOf(workspace, revision);
    const after =
      revision === head.cursor.revision
        ? head.cursor
        : await this.#cursorOf(workspace, revision + 1n);
    if (at === undefined && revision > 0n) return "not kept";
    const from = at === undefined ? 0 : epochs.indexOf(at.epoch);
    const to = after === undefined ? from : epochs.indexOf(after.epoch);
    const index = epochs.indexOf(epoch);
    return from <= index && index <= to
      ? (at?.root ?? Snapshot.empty(workspace).root)
      : undefined;
  }

  #cursorOf(workspace: string, revision: bigint): Promise<Cursor | undefined> {
    let cursor = this.#records.get(revision);
    if (cursor === undefined) {
      cursor = this.#store
        .record(workspace, revision)
        .then((record) => record?.cursor);
      this.#remember(revision, cursor);
    }
    return cursor;
  }

  #remember(revision: bigint, cursor: Promise<Cursor | undefined>): void {
    this.#records.set(revision, cursor);
    const [oldest] = this.#records.keys();
    if (this.#records.size > REMEMBERED && oldest !== undefined)
      this.#records.delete(oldest);
    const forget = (): void => {
      if (this.#records.get(revision) === cursor)
        this.#records.delete(revision);
    };
    cursor.then((found) => {
      if (found === undefined) forget();
    }, forget);
  }
}

/**
 * Whether the epoch to be replaced was replaced already.
 *
 * @throws ConfigError when the history never had it.
 */
export function replacedAlready(
  { cursor, predecessors }: Head,
  epoch: string | undefined,
): boolean {
  if (epoch === undefined || epoch === cursor.epoch) return false;
  if (predecessors.includes(epoch)) return true;
  throw ConfigError.of("failed_precondition", [
    {
      kind: "",
      name: "",
      field: "epoch",
      reason: `${JSON.stringify(epoch)} is no epoch of this history, which is at ${describeCursor(cursor)}: nothing was changed`,
    },
  ]);
}
