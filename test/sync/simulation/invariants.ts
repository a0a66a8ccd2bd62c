import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  GoodbyeReason,
  NackClass,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../../src/model/cursor.ts";
import { FAIL_ROUTE } from "../../../src/sync/features.ts";
import { LIMITS } from "../../../src/sync/limits.ts";
import type {
  Replica,
  ReplicaEffect,
  ReplicaEvent,
  ReplicaStep,
} from "../../../src/sync/replica/state.ts";
import type {
  Session,
  SessionEffect,
  SessionEvent,
  SessionStep,
} from "../../../src/sync/session/state.ts";
import { isAncestor, lossOf, type State } from "./contents.ts";
import type { ControlPlaneModel, Link } from "./control-plane-model.ts";
import type { Without } from "./network.ts";
import type { Held, NodeModel } from "./node-model.ts";
import type { Surroundings } from "./surroundings.ts";

/** Something happened that must not. */
export class BrokenInvariant extends Error {
  override readonly name = "BrokenInvariant";
}

function broken(what: string): never {
  throw new BrokenInvariant(what);
}

const REFUSING: ReadonlySet<NackClass> = new Set([
  NackClass.INVALID,
  NackClass.UNSUPPORTED,
  NackClass.CRASHED,
]);

/** Whether a node with these features can serve a state: told apart here again, not with the code under test. */
export function canServe(
  node: Pick<NodeModel, "features">,
  state: State,
): boolean {
  const has = (name: string, version: number): boolean =>
    node.features.some(
      (feature) => feature.name === name && feature.version >= version,
    );
  return state.needs.every(
    ({ name, version }) =>
      has(name, version) || (name.startsWith("plugin/") && has(FAIL_ROUTE, 1)),
  );
}

/** Watches one session, from outside, with its own account of what was said. */
export class SessionAudit {
  /** The offer that is not answered. */
  #open: { readonly seq: bigint; readonly to: Cursor } | undefined;
  /** What the node could not store: it tries again by itself, so nothing is awaited. */
  #parked: { readonly seq: bigint; readonly to: Cursor } | undefined;
  /** The state of the open offer is no longer kept: another may take its place. Until then an answer counts. */
  #gone = false;
  #priority = false;
  #undrained = 0;
  #refused: readonly string[] = [];
  #held: Cursor | undefined;
  /** Somebody lets the node follow. */
  #allowed = false;
  /** Whether the open offer said so. */
  #saidAllowed = false;
  /** Wrong roots in a row. */
  #mismatches = 0;
  readonly #world: Surroundings;

  constructor(world: Surroundings) {
    this.#world = world;
  }

  /** Whether the state in flight may not be replaced. */
  get hasPriority(): boolean {
    return this.#priority;
  }

  /** The roots that the node is known to refuse. */
  refuses(root: string): boolean {
    return this.#refused.includes(root);
  }

  drained(): void {
    this.#undrained--;
  }

  /** A person asked for another try. */
  pardoned(): void {
    this.#refused = [];
    this.#held = undefined;
  }

  check(
    controlPlane: ControlPlaneModel,
    link: Link,
    before: Session,
    event: SessionEvent,
    { session, effects }: SessionStep,
  ): void {
    if (before.at === "ended") {
      if (effects.length > 0) broken("an ended session does something");
      return;
    }
    if (before.acked !== session.acked)
      this.#movedBy(event, before.acked, session.acked);
    // A permission is for the epoch of the history, whatever the node is kept at.
    if (
      event.type === "published" &&
      (event.limit?.successors.at(-1) ?? event.head.epoch) !==
        (before.limit?.successors.at(-1) ?? before.head.epoch)
    )
      this.#allowed = false;
    this.#hear(event);
    for (const effect of effects)
      this.#allow(controlPlane, link, event, session, effect);
    if (session.refusedRoots.size > 2 * LIMITS.refusals)
      broken(`a session remembers ${session.refusedRoots.size} refusals`);
    this.#mustSend(controlPlane, link, session);
  }

  /** `acked` is what the node said last, and nothing else. */
  #movedBy(
    event: SessionEvent,
    from: Cursor | undefined,
    to: Cursor | undefined,
  ): void {
    const said =
      event.type === "greeted"
        ? event.hello.have
        : event.type === "acked"
          ? event.ack.cursor
          : event.type === "nacked"
            ? event.nack.kept
            : from;
    if (!cursorsEqual(said, to))
      broken(
        `${event.type} moved the cursor from ${describeCursor(from)} to ${describeCursor(to)}`,
      );
  }

  #hear(event: SessionEvent): void {
    switch (event.type) {
      case "greeted":
        this.#refused = [
          ...event.refusedRoots,
          ...event.hello.refused.flatMap((refusal) =>
            refusal.cursor !== undefined && REFUSING.has(refusal.class)
              ? [refusal.cursor.root]
              : [],
          ),
        ];
        this.#allowed = event.allowed;
        {
          const { have, refused } = event.hello;
          if (have !== undefined)
            this.#held = refused.findLast(
              (refusal) =>
                refusal.class === NackClass.HELD &&
                refusal.cursor?.epoch !== have.epoch,
            )?.cursor;
        }
        return;
      case "acked":
        if (event.ack.seq === this.#parked?.seq) this.#parked = undefined;
        else if (event.ack.seq === this.#open?.seq) this.#open = undefined;
        else return;
        this.#priority = false;
        this.#held = undefined;
        this.#allowed = false;
        this.#mismatches = 0;
        return;
      case "nacked":
        if (event.nack.seq !== this.#open?.seq) return;
        this.#answered(event.nack.class, this.#open.to);
        return;
      case "unpinned":
        if (event.seq === this.#open?.seq) this.#gone = true;
        return;
      case "allowed":
        this.#held = undefined;
        this.#allowed = true;
        return;
      default:
    }
  }

  #answered(nackClass: NackClass, to: Cursor): void {
    if (REFUSING.has(nackClass))
      this.#refused = [...this.#refused, to.root].slice(-LIMITS.refusals);
    if (nackClass === NackClass.HELD) {
      this.#held = to;
      if (this.#saidAllowed) this.#allowed = false;
    }
    if (nackClass === NackClass.ROOT_MISMATCH) this.#mismatches++;
    else this.#mismatches = 0;
    this.#parked = nackClass === NackClass.LOCAL_IO ? this.#open : undefined;
    this.#open = undefined;
  }

  #allow(
    controlPlane: ControlPlaneModel,
    link: Link,
    event: SessionEvent,
    session: Session,
    effect: SessionEffect,
  ): void {
    switch (effect.type) {
      case "welcome":
      case "heartbeat":
        this.#write();
        return;
      case "offer":
        this.#write();
        this.#offered(controlPlane, link, event, session, effect);
        return;
      case "goodbye":
        if (
          effect.reason === GoodbyeReason.PROTOCOL &&
          (effect.retryAfterMs === undefined || !this.#world.wasGarbled)
        )
          broken(`the control plane hung up: ${effect.message}`);
        if (
          effect.reason === GoodbyeReason.PROTOCOL &&
          this.#mismatches < LIMITS.mismatches
        )
          broken(
            `a node was given up after ${this.#mismatches} wrong roots in a row`,
          );
        if (effect.reason === GoodbyeReason.STALLED && event.type !== "ticked")
          broken("a stream was ended as stalled without time passing");
        return;
      case "writeBuckets":
      case "alarm":
        return;
      default:
        effect satisfies never;
    }
  }

  #write(): void {
    if (++this.#undrained > 1)
      broken("something was written before the last write had drained");
  }

  #offered(
    controlPlane: ControlPlaneModel,
    link: Link,
    event: SessionEvent,
    session: Session,
    {
      seq,
      to,
      from,
      allowed,
      priority,
    }: Extract<SessionEffect, { readonly type: "offer" }>,
  ): void {
    if (event.type === "ticked") broken("a state was sent because time passed");
    if (this.#open !== undefined && !this.#gone)
      broken(`${this.#open.seq} and ${seq} are both unanswered`);
    const { store } = controlPlane;
    const hold = store.holdOf(link.wire.node);
    if (hold !== undefined && !cursorsEqual(to, hold.cursor))
      broken(
        `${describeCursor(to)} was offered to a node that is kept at ${describeCursor(hold.cursor)}`,
      );
    const target = hold ?? controlPlane.published;
    if (!cursorsEqual(to, target.cursor))
      broken(`${describeCursor(to)} was offered and is not the head`);
    if (hold !== undefined && store.isAfter(session.acked, to))
      broken(
        `${describeCursor(to)} was offered to a node that serves ${describeCursor(session.acked)} already`,
      );
    if (this.refuses(to.root))
      broken(`${describeCursor(to)} was refused and is offered again`);
    if (
      this.#held?.epoch === to.epoch &&
      this.#held.root === to.root &&
      !allowed
    )
      broken(`${describeCursor(to)} is held back and is offered again`);
    if (allowed && !this.#allowed)
      broken(`${describeCursor(to)} is allowed, and nobody has allowed it`);
    const { acked, hello } = session;
    if (
      acked?.epoch === to.epoch &&
      !this.#world.isTrusting &&
      !store.knows(acked)
    )
      broken(
        `${describeCursor(to)} was offered to a node that serves ${describeCursor(acked)} of another history`,
      );
    if (from !== undefined && from.epoch !== to.epoch)
      broken("a delta crosses epochs");
    if (hello === undefined || !canServe(hello, target))
      broken(`${describeCursor(to)} was offered and needs what the node lacks`);
    this.#open = { seq, to };
    this.#gone = false;
    this.#parked = undefined;
    this.#priority = priority;
    this.#saidAllowed = allowed;
    if (link.session.at === "ended") broken("an ended session offers");
  }

  /** Nothing is kept from a node without a reason: whatever happened, what can be sent now has been sent. */
  #mustSend({ store }: ControlPlaneModel, link: Link, session: Session): void {
    const hold = store.holdOf(link.wire.node);
    if (
      hold !== undefined &&
      // As the control plane last saw it: a history may come to a state again that it had lost.
      (session.limit?.reachable !== true ||
        store.isAfter(session.acked, hold.cursor))
    )
      return;
    const { head, acked } = session;
    if (
      session.at !== "active" ||
      !session.writable ||
      (this.#open !== undefined && !this.#gone) ||
      cursorsEqual(this.#parked?.to ?? acked, head) ||
      session.missing.length > 0 ||
      session.forked ||
      this.refuses(head.root) ||
      (this.#held?.root === head.root && !this.#allowed)
    )
      return;
    broken(
      `${describeCursor(head)} is kept from a node that serves ${describeCursor(acked)}`,
    );
  }
}

type Told = Without<ReplicaEvent, "nowMs">;

/** Watches one node: what it serves, what it has stored, what it says. */
export class NodeAudit {
  readonly #world: Surroundings;
  /** What it must still serve, or a later one, after any crash. */
  #promise: Held | undefined;
  #excused = false;
  /** What it was sent last. */
  #offered: Cursor | undefined;
  /** Roots that it has refused and was not offered since. */
  readonly #refused = new Set<string>();
  /** Epochs that a person has let it follow. */
  readonly permissions = new Set<string>();

  constructor(world: Surroundings) {
    this.#world = world;
  }

  /** A disk was damaged or a state quarantined: it may fall back, and says so. */
  excused(): void {
    this.#excused = true;
  }

  /** The process has started with what its disk has. */
  started(node: NodeModel): void {
    const { served } = node;
    if (!this.#excused) {
      if (this.#promise !== undefined) {
        if (served === undefined)
          broken(
            `${describeCursor(this.#promise.state.cursor)} was lost in a crash`,
          );
        this.#follows(this.#promise, served);
      }
    }
    this.#excused = false;
    this.#promise = served;
    this.#refused.clear();
    for (const { class: each, cursor } of node.disk.refusals)
      if (cursor !== undefined && REFUSING.has(each))
        this.#refused.add(cursor.root);
  }

  /** It says that it has prepared, stored and now serves a state. */
  acknowledges(node: NodeModel, cursor: Cursor): void {
    if (!cursorsEqual(cursor, node.served?.state.cursor))
      broken(`${describeCursor(cursor)} was acknowledged and is not served`);
    if (!cursorsEqual(cursor, node.disk.held?.state.cursor))
      broken(`${describeCursor(cursor)} was acknowledged and is not durable`);
  }

  /** A control plane has said that what is served is its newest state. */
  #confirms(node: NodeModel, event: Told, cursor: Cursor): void {
    if (!cursorsEqual(cursor, node.replica.serving))
      broken(`${describeCursor(cursor)} was confirmed and is not served`);
    const said =
      event.type === "heard" || event.type === "welcomed"
        ? event.head
        : this.#offered;
    if (!cursorsEqual(cursor, said))
      broken(
        `${describeCursor(cursor)} was confirmed, and what the control plane said was ${describeCursor(said)}`,
      );
  }

  /** It changes what it serves. */
  serves(node: NodeModel, before: Held | undefined, after: Held): void {
    if (after.content !== after.state.content)
      broken(
        `${describeCursor(after.state.cursor)} is served with another content`,
      );
    if (!cursorsEqual(node.disk.held?.state.cursor, after.state.cursor))
      broken(
        `${describeCursor(after.state.cursor)} is served before it is durable`,
      );
    if (before !== undefined) this.#follows(before, after);
    this.#promise = after;
  }

  check(
    node: NodeModel,
    before: Replica,
    event: Told,
    { replica, effects }: ReplicaStep,
  ): void {
    if (event.type === "arrived") this.#offered = event.frame.to;
    for (const effect of effects) {
      this.#does(node, effect);
      if (effect.type === "confirmed")
        this.#confirms(node, event, effect.cursor);
    }
    if (!cursorsEqual(replica.serving, node.served?.state.cursor))
      broken(
        `${describeCursor(replica.serving)} is said to be served, it is ${describeCursor(node.served?.state.cursor)}`,
      );
    if (replica.refusals.length > LIMITS.refusals)
      broken(`a node remembers ${replica.refusals.length} refusals`);
    const outstanding = replica.apply?.outstanding ?? [];
    if (
      outstanding.length > 1 &&
      outstanding !== before.apply?.outstanding &&
      outstanding.reduce((sum, { size }) => sum + size, 0) >
        LIMITS.bucketWindowBytes
    )
      broken("more buckets were asked for than the window holds");
  }

  /** A state is offered: whatever was refused of it, it may be tried again. */
  arrived(root: string): void {
    this.#refused.delete(root);
  }

  #does(node: NodeModel, effect: ReplicaEffect): void {
    switch (effect.type) {
      case "verify":
        if (
          effect.frame.type === "delta" &&
          !cursorsEqual(effect.frame.from, node.served?.state.cursor)
        )
          broken(
            `a delta from ${describeCursor(effect.frame.from)} is applied to ${describeCursor(node.served?.state.cursor)}`,
          );
        return;
      case "nack":
        if (REFUSING.has(effect.class)) this.#refused.add(effect.cursor.root);
        return;
      case "greet":
        for (const root of this.#refused)
          if (!effect.refused.some(({ cursor }) => cursor?.root === root))
            broken(`Hello does not say that root ${root} was refused`);
        return;
      default:
    }
  }

  hangsUp(reason: string): void {
    if (!reason.startsWith("nothing was heard"))
      broken(`the node hung up: ${reason}`);
  }

  /** Forwards in one history; into another one only when that replaced it, when little is lost, or when it is allowed. */
  #follows(before: Held, after: Held): void {
    const from = before.state.cursor;
    const to = after.state.cursor;
    if (from.epoch === to.epoch) {
      if (to.revision < from.revision)
        broken(`${describeCursor(to)} came after ${describeCursor(from)}`);
      if (
        to.revision === from.revision
          ? to.root !== from.root
          : !this.#world.isTrusting && !isAncestor(before.state, after.state)
      )
        broken(
          `${describeCursor(to)} is of another history than ${describeCursor(from)}`,
        );
      return;
    }
    if (after.state.predecessors.includes(from.epoch)) return;
    const { removed, held } = lossOf(before.content, after.content);
    if (removed * 2 <= held) return;
    if (!this.permissions.has(to.epoch))
      broken(
        `${describeCursor(to)} removed ${removed} of ${held} entries of ${describeCursor(from)}, and nobody allowed it`,
      );
  }
}
