import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { cursorsEqual } from "../../../src/model/cursor.ts";
import { EMPTY, stateOf, type Content, type State } from "./contents.ts";

/** States that a control plane keeps to make deltas from. Few, so that schedules reach beyond them. */
const RETAINED = 6;

/** A store that control planes share: durable, totally ordered, and able to lose its newest part to a restored backup. */
export class StoreModel {
  readonly name: string;
  #epochs = 0;
  /** The whole history, oldest first. Those of epochs that were replaced on purpose are part of it. */
  #history: State[];
  /** The disk is full: commits fail. */
  full = false;
  /** The states that nodes are pinned to, and that at which all others are paused. */
  readonly pins = new Map<number, State>();
  pause: State | undefined;

  constructor(name: string) {
    this.name = name;
    this.#history = [stateOf(this.#newEpoch(), 0n, EMPTY, undefined, [])];
  }

  get head(): State {
    const head = this.#history.at(-1);
    if (head === undefined) throw new Error("a store is never without a state");
    return head;
  }

  get length(): number {
    return this.#history.length;
  }

  at(index: number): State | undefined {
    return this.#history[index];
  }

  /** Makes a content the next revision; nothing when the disk is full, or when nothing would change. */
  commit(content: Content): State | undefined {
    const { head } = this;
    if (this.full || head.content === content) return undefined;
    const { epoch, revision } = head.cursor;
    return this.#append(
      stateOf(epoch, revision + 1n, content, head, head.predecessors),
    );
  }

  /** A backup is put back: the newest states are gone, and the epoch is what it was. */
  restoreBackup(lost: number): void {
    this.#history = this.#history.slice(
      0,
      Math.max(1, this.#history.length - lost),
    );
  }

  /** `holdfast restore FILE`: a history of its own, with a content from somewhere. */
  restoreFile(content: Content): void {
    this.#history = [stateOf(this.#newEpoch(), 1n, content, undefined, [])];
  }

  /** `holdfast adopt`: the same content and revision under a new epoch, which says what it replaces. */
  adopt(): State {
    const { head } = this;
    return this.#append(
      stateOf(this.#newEpoch(), head.cursor.revision, head.content, head, [
        ...head.predecessors,
        head.cursor.epoch,
      ]),
    );
  }

  /** The state that somebody keeps a node at. */
  holdOf(node: number): State | undefined {
    return this.pins.get(node) ?? this.pause;
  }

  /** Whether a state can be sent: it is of the present epoch, and of this history. */
  reaches({ cursor }: State): boolean {
    return cursor.epoch === this.head.cursor.epoch && this.knows(cursor);
  }

  /** Whether this history came to `later` after it had come to `earlier`. */
  isAfter(later: Cursor | undefined, earlier: Cursor): boolean {
    if (later === undefined) return false;
    const epochs = [...this.head.predecessors, this.head.cursor.epoch];
    const at = epochs.indexOf(earlier.epoch);
    return later.epoch === earlier.epoch
      ? later.revision > earlier.revision
      : at >= 0 && epochs.indexOf(later.epoch) > at;
  }

  /** Whether this history has exactly that state. */
  knows(cursor: Cursor): boolean {
    return this.#find(cursor) !== undefined;
  }

  /** A state that deltas can be made from; undefined when it is gone. */
  retained(cursor: Cursor): State | undefined {
    for (
      let at = this.#history.length - 1;
      at >= Math.max(0, this.#history.length - RETAINED);
      at--
    ) {
      const state = this.#history[at];
      if (state !== undefined && cursorsEqual(state.cursor, cursor))
        return state;
    }
    return undefined;
  }

  #find(cursor: Cursor): State | undefined {
    return this.#history.findLast((state) =>
      cursorsEqual(state.cursor, cursor),
    );
  }

  #append(state: State): State {
    this.#history.push(state);
    return state;
  }

  #newEpoch(): string {
    return `${this.name}${++this.#epochs}`;
  }
}
