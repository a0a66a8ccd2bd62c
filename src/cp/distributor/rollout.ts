import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf, cursorsEqual, describeCursor } from "../../model/cursor.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { FeatureNeed } from "../../sync/features.ts";
import type { Limit } from "../../sync/session/state.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { PastState } from "../catalog/past-state.ts";
import type { HoldRecord, Store } from "../store/store.ts";
import { NeedIndex } from "./needs.ts";

/** Different states that pins and the pause may be at: each is kept in memory, and rebuilt when a control plane starts. */
const MAX_STATES = 16;

/** What keeps a node from following the head. */
export interface Hold {
  readonly type: "pinned" | "paused";
  /** The state that it is to serve instead. */
  readonly cursor: Cursor;
  /** Whether that can be sent: the history reaches it, and its epoch was not replaced. */
  readonly reachable: boolean;
}

/** What a node should serve, as its session is told. */
export interface Target {
  readonly head: Cursor;
  readonly needs: readonly FeatureNeed[];
  readonly limit?: Limit;
}

export interface RolloutOptions {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A state that some node is to be kept at. */
interface HeldState {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
  readonly needs: readonly FeatureNeed[];
}

/**
 * Which nodes of a workspace do not follow the head since somebody has said so: the pins of single nodes, and the pause of
 * all others. It is durable before it takes effect. What the store has of it is read once: a store has one control plane
 * at a time (LevelDB lets no second one in), so nobody else changes it.
 */
export class Rollout implements AsyncDisposable {
  readonly #options: RolloutOptions;
  readonly #pins = new Map<string, HoldRecord>();
  #pause: HoldRecord | undefined;
  /** What can be sent of the states of pins and the pause, by `keyOf`. */
  readonly #states = new Map<string, HeldState>();
  /** One change at a time: each is checked, then written, then done. */
  #changing: Promise<unknown> = Promise.resolve();
  /** The revision that nodes are just about to be kept at: its state is being read, or written as held. */
  #intended: bigint | undefined;
  #closed = false;

  private constructor(options: RolloutOptions) {
    this.#options = options;
  }

  /** Reads what was said before, and rebuilds the states from the history as far as it reaches. */
  static async open(options: RolloutOptions): Promise<Rollout> {
    const { store, catalog } = options;
    const rollout = new Rollout(options);
    for (const hold of await store.loadHolds(catalog.workspace))
      rollout.#take(hold);
    await rollout.#rebuild();
    return rollout;
  }

  /** The revision that the workspace is paused at. */
  get pausedAt(): Cursor | undefined {
    return this.#pause?.cursor;
  }

  /**
   * The lowest revision that nodes are kept at, or are about to be. One that the history does not reach any more is not
   * counted: no record brings it back.
   */
  get heldFrom(): bigint | undefined {
    let lowest = this.#intended;
    for (const { cursor } of this.#holds())
      if (
        this.#reach(cursor) !== undefined &&
        (lowest === undefined || cursor.revision < lowest)
      )
        lowest = cursor.revision;
    return lowest;
  }

  /** Nodes that are pinned, and different states that are kept for pins and the pause. */
  get figures(): { readonly pins: number; readonly states: number } {
    return { pins: this.#pins.size, states: this.#states.size };
  }

  isPinned(node: string): boolean {
    return this.#pins.has(node);
  }

  /** What keeps a node from following the head; a pin goes before the pause. */
  holdOf(node: string): Hold | undefined {
    const pin = this.#pins.get(node);
    const hold = pin ?? this.#pause;
    if (hold === undefined) return undefined;
    const { cursor } = hold;
    return {
      type: pin === undefined ? "paused" : "pinned",
      cursor,
      reachable: this.#reach(cursor) !== undefined,
    };
  }

  /** What a node should serve, when that is `published` for those that follow the head. */
  targetOf(
    node: string | undefined,
    published: Target & { readonly predecessors: readonly string[] },
  ): Target {
    const hold = node === undefined ? undefined : this.holdOf(node);
    if (hold === undefined)
      return { head: published.head, needs: published.needs };
    const { cursor, reachable } = hold;
    const epochs = [...published.predecessors, published.head.epoch];
    // Of one that this history never had, all of them.
    const after = epochs.slice(epochs.indexOf(cursor.epoch) + 1);
    return {
      head: cursor,
      needs: this.#states.get(keyOf(cursor))?.needs ?? [],
      limit: { successors: after, reachable },
    };
  }

  /** A state that some node is kept at. */
  snapshot(cursor: Cursor): Snapshot | undefined {
    return this.#states.get(keyOf(cursor))?.snapshot;
  }

  /** Lets go of the states that no node is kept at any more: after nodes were sent the difference from them. */
  tidy(): void {
    const used = new Set(this.#holds().map(({ cursor }) => keyOf(cursor)));
    for (const key of this.#states.keys())
      if (!used.has(key)) this.#states.delete(key);
  }

  /**
   * Keeps nodes at a revision. `refuse` throws when one of them must not be, now that it is known which state that is.
   *
   * @throws ConfigError when the history does not have the revision, or its epoch was replaced.
   */
  pin(
    nodes: readonly string[],
    revision: bigint,
    refuse: (cursor: Cursor) => void,
  ): Promise<void> {
    return this.#holding(revision, async () => {
      const state = await this.#stateAt(revision);
      refuse(state.cursor);
      await this.#hold(
        state,
        nodes.map((node) => ({ node })),
      );
    });
  }

  /** Lets nodes follow the head again, or be paused with the others. */
  unpin(nodes: readonly string[]): Promise<void> {
    return this.#change(() =>
      this.#release(nodes.filter((node) => this.#pins.has(node))),
    );
  }

  /** Keeps all nodes that are not pinned at a state. Does nothing when they are kept at one already. */
  pause(state: HeldState): Promise<void> {
    return this.#holding(state.cursor.revision, async () => {
      if (this.#pause === undefined) await this.#hold(state, [{}]);
    });
  }

  /** Lets all nodes that are not pinned follow the head again. */
  resume(): Promise<void> {
    return this.#change(async () => {
      if (this.#pause !== undefined) await this.#release([undefined]);
    });
  }

  /** Ends after what is being written. What comes later is refused. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#changing;
  }

  #change(change: () => Promise<void>): Promise<void> {
    const done = this.#changing.then(() => {
      if (!this.#closed) return change();
      const { workspace } = this.#options.catalog;
      throw new ConfigError(
        "unavailable",
        `workspace "${workspace}" is not served any more: nothing was changed`,
      );
    });
    this.#changing = done.catch(() => undefined);
    return done;
  }

  /** A change after which nodes may be kept at a revision: what that needs is not forgotten meanwhile. */
  #holding(revision: bigint, change: () => Promise<void>): Promise<void> {
    return this.#change(async () => {
      this.#intended = revision;
      try {
        await change();
      } finally {
        this.#intended = undefined;
      }
    });
  }

  async #hold(
    state: HeldState,
    who: readonly { readonly node?: string }[],
  ): Promise<void> {
    const { store, catalog, clock } = this.#options;
    const { cursor } = state;
    this.#refuseMany(cursor, who);
    const timeMs = clock.now();
    const holds = who.map(({ node }) => ({
      ...(node === undefined ? {} : { node }),
      cursor,
      timeMs,
    }));
    await store.saveHolds(catalog.workspace, holds, []);
    this.#states.set(keyOf(cursor), state);
    for (const hold of holds) this.#take(hold);
  }

  async #release(who: readonly (string | undefined)[]): Promise<void> {
    if (who.length === 0) return;
    const { store, catalog } = this.#options;
    await store.saveHolds(catalog.workspace, [], who);
    for (const node of who)
      if (node === undefined) this.#pause = undefined;
      else this.#pins.delete(node);
  }

  #take(hold: HoldRecord): void {
    if (hold.node === undefined) this.#pause = hold;
    else this.#pins.set(hold.node, hold);
  }

  /** Memory must not grow with what people say. */
  #refuseMany(
    cursor: Cursor,
    who: readonly { readonly node?: string }[],
  ): void {
    const moved = new Set(who.map(({ node }) => node));
    const kept = this.#holds().filter(({ node }) => !moved.has(node));
    const states = new Set(kept.map((hold) => keyOf(hold.cursor)));
    if (states.size < MAX_STATES || states.has(keyOf(cursor))) return;
    const revisions = [...new Set(kept.map((hold) => hold.cursor.revision))];
    throw ConfigError.of("resource_exhausted", [
      {
        kind: "",
        name: "",
        field: "revision",
        reason: `nodes are kept at ${MAX_STATES} different revisions already, which is as many as may be: ${revisions.join(", ")}`,
      },
    ]);
  }

  #holds(): readonly HoldRecord[] {
    return [
      ...this.#pins.values(),
      ...(this.#pause === undefined ? [] : [this.#pause]),
    ];
  }

  #reach(cursor: Cursor): HeldState | undefined {
    return cursor.epoch === this.#options.catalog.head.cursor.epoch
      ? this.#states.get(keyOf(cursor))
      : undefined;
  }

  /** The state that a revision led to, under the present epoch. */
  async #stateAt(revision: bigint): Promise<HeldState> {
    const { catalog } = this.#options;
    const state = await catalog.stateAt(revision);
    const { epoch } = catalog.head.cursor;
    if (!(await catalog.passed(epoch, revision)))
      throw ConfigError.of("failed_precondition", [
        {
          kind: "",
          name: "",
          field: "revision",
          reason: `${describeCursor(state.cursor)} is of an epoch that was replaced (holdfast adopt): nodes cannot be kept at it`,
        },
      ]);
    return held(epoch, state);
  }

  /** From the newest to the oldest, each from the one before: the history is read once. */
  async #rebuild(): Promise<void> {
    const { catalog, logger } = this.#options;
    const { epoch } = catalog.head.cursor;
    const wanted = this.#holds()
      .map(({ cursor }) => cursor)
      .filter((cursor) => cursor.epoch === epoch)
      .sort((a, b) => Number(b.revision - a.revision));
    let from: PastState = catalog.head;
    for (const cursor of wanted) {
      if (this.#states.has(keyOf(cursor))) continue;
      try {
        from = await catalog.stateAt(cursor.revision, from);
        const state = await held(epoch, from);
        if (cursorsEqual(state.cursor, cursor))
          this.#states.set(keyOf(cursor), state);
        else
          logger.error("rollout.other_history", {
            workspace: catalog.workspace,
            revision: cursor.revision,
            root: cursor.root,
          });
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        // The nodes that are there already go on; the others say why they are sent nothing.
        logger.error("rollout.unreachable", {
          workspace: catalog.workspace,
          revision: cursor.revision,
          err: error,
        });
      }
    }
  }
}

async function held(
  epoch: string,
  { cursor, snapshot }: PastState,
): Promise<HeldState> {
  const needs = new NeedIndex();
  await driveSlices(needs.load(snapshot));
  return {
    cursor: cursorOf(epoch, cursor.revision, cursor.root),
    snapshot,
    needs: needs.needs,
  };
}

function keyOf({ epoch, revision, root }: Cursor): string {
  return `${epoch} ${revision} ${root}`;
}
