import { NackClass } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { stepReplica } from "../../../src/sync/replica.ts";
import type {
  Frame,
  Replica,
  ReplicaEvent,
  ReplicaStep,
} from "../../../src/sync/replica/state.ts";
import { stepSession } from "../../../src/sync/session.ts";
import type {
  Session,
  SessionEvent,
  SessionStep,
} from "../../../src/sync/session/state.ts";
import type { Link } from "./control-plane-model.ts";
import type { Fault } from "./faults.ts";
import type { Steer } from "./schedule.ts";
import type { Machines } from "./surroundings.ts";

/** A mistake that somebody could make in a machine. The simulation must find it. */
export interface Mutant {
  readonly name: string;
  /** What is wrong. */
  readonly mistake: string;
  readonly machines: Machines;
  /** What must go wrong for it to matter, where that seldom happens. */
  readonly faults?: readonly Fault[];
  /** Brings about the moment in which it matters, where chance brings it about in one of ten thousand schedules. */
  readonly steer?: Steer;
}

/** The machines as they are. */
export const MACHINES: Machines = { stepSession, stepReplica };

type SessionBug = (
  session: Session,
  event: SessionEvent,
  step: Machines["stepSession"],
) => SessionStep;
type ReplicaBug = (
  replica: Replica,
  event: ReplicaEvent,
  step: Machines["stepReplica"],
) => ReplicaStep;

/** Whether a node's state was looked for and not found, and nobody has said so yet, in the epoch that is still the head's. */
function isForking({ looking, session }: Link): boolean {
  return (
    looking?.forked === true && looking.hello.have?.epoch === session.head.epoch
  );
}

function inSession(
  name: string,
  mistake: string,
  bug: SessionBug,
  faults: readonly Fault[] = [],
  steer?: Steer,
): Mutant {
  return {
    name,
    mistake,
    faults,
    ...(steer === undefined ? {} : { steer }),
    machines: {
      stepSession: (session, event) => bug(session, event, stepSession),
      stepReplica,
    },
  };
}

function inReplica(name: string, mistake: string, bug: ReplicaBug): Mutant {
  return {
    name,
    mistake,
    machines: {
      stepSession,
      stepReplica: (replica, event) => bug(replica, event, stepReplica),
    },
  };
}

/** What was asked for of the manifest that a frame has replaced. */
const awaited = new WeakMap<Frame, readonly number[]>();

/** All mistakes. */
export const MUTANTS: readonly Mutant[] = [
  inSession(
    "advance on send",
    "the cursor of a node moves when a state is sent, not when it is acknowledged",
    (session, event, step) => {
      const result = step(session, event);
      const offer = result.effects.find(({ type }) => type === "offer");
      return offer?.type === "offer"
        ? { ...result, session: { ...result.session, acked: offer.to } }
        : result;
    },
  ),
  inSession(
    "drop the seq check",
    "an answer to an earlier frame is taken for one to the frame in flight",
    (session, event, step) =>
      event.type === "acked" && session.inFlight !== undefined
        ? step(session, {
            ...event,
            ack: {
              ...event.ack,
              seq: session.inFlight.seq,
              cursor: session.inFlight.to,
            },
          })
        : step(session, event),
  ),
  inSession(
    "two frames in flight",
    "a newer head is sent although a frame is unanswered",
    (session, event, step) =>
      step(
        event.type === "published"
          ? { ...session, inFlight: undefined }
          : session,
        event,
      ),
  ),
  inSession(
    "forget what is in flight on drain",
    "that a frame has left is taken for its answer",
    (session, event, step) =>
      step(
        event.type === "drained"
          ? { ...session, inFlight: undefined }
          : session,
        event,
      ),
  ),
  inSession(
    "write before the last write has drained",
    "a slow stream is written to all the same",
    (session, event, step) => step({ ...session, writable: true }, event),
  ),
  inSession(
    "offer a refused root again",
    "a new head clears what the node refused",
    (session, event, step) =>
      step(
        event.type === "published"
          ? { ...session, refusedRoots: new Set() }
          : session,
        event,
      ),
  ),
  inSession(
    "do not read what Hello refuses",
    "what the node refused on an earlier stream is offered again",
    (session, event, step) =>
      event.type === "greeted"
        ? step(session, {
            ...event,
            refusedRoots: [],
            hello: { ...event.hello, refused: [] },
          })
        : step(session, event),
  ),
  inSession(
    "ignore forks",
    "a node whose state this history does not have is sent states",
    (session, event, step) =>
      step(
        session,
        event.type === "greeted" ? { ...event, forked: false } : event,
      ),
  ),
  inSession(
    "do not see that a node is past its pin",
    "a node that serves a later state already is sent the one that it is kept at",
    (session, event, step) => {
      if (event.type !== "published") return step(session, event);
      const { head, needs, nowMs } = event;
      return step(session, { type: "published", head, needs, nowMs });
    },
  ),
  inSession(
    "send the head to a pinned node",
    "a session follows what is committed, whatever the node is kept at",
    (session, event, step) =>
      event.type === "published" && session.limit !== undefined
        ? step(session, {
            ...event,
            head: { ...event.head, revision: event.head.revision + 1n },
          })
        : step(session, event),
  ),
  inSession(
    "offer what is held back",
    "a state that the node holds back is offered again before anybody allows it",
    (session, event, step) => {
      const result = step(session, event);
      return { ...result, session: { ...result.session, held: undefined } };
    },
  ),
  inSession(
    "lose a permission",
    "somebody allows the node to follow, and it is not told",
    (session, event, step) =>
      event.type === "allowed"
        ? { session, effects: [] }
        : step(
            session,
            event.type === "greeted" ? { ...event, allowed: false } : event,
          ),
  ),
  inSession(
    "a parked frame blocks a newer head",
    "while a node cannot store a state it is sent no other",
    (session, event, step) => {
      const result = step(session, event);
      const { inFlight } = result.session;
      return inFlight?.parked === true
        ? {
            ...result,
            session: {
              ...result.session,
              inFlight: { ...inFlight, parked: false },
            },
          }
        : result;
    },
  ),
  inSession(
    "forget commits while a frame is in flight",
    "what is committed while the node is busy is never sent",
    (session, event, step) =>
      event.type === "published" && session.inFlight !== undefined
        ? { session, effects: [] }
        : step(session, event),
  ),
  inSession(
    "send a state that needs what the node lacks",
    "features are not compared",
    (session, event, step) =>
      step(
        { ...session, needs: [], missing: [] },
        event.type === "published" ? { ...event, needs: [] } : event,
      ),
  ),
  inSession(
    "send again because time has passed",
    "a frame that is not answered for a while is sent once more",
    (session, event, step) => {
      if (event.type !== "ticked" || session.inFlight === undefined)
        return step(session, event);
      const late = event.nowMs - session.inFlight.sentMs > 5_000;
      return late
        ? step(
            { ...session, inFlight: undefined, manifestDue: true },
            { type: "retried", nowMs: event.nowMs },
          )
        : step(session, event);
    },
  ),
  inSession(
    "never replace what is no longer kept",
    "a node waits for ever for buckets of a state that is gone",
    (session, event, step) =>
      event.type === "unpinned"
        ? { session, effects: [] }
        : step(session, event),
  ),
  inSession(
    "a delta across epochs",
    "another history is sent as the difference from the old one",
    (session, event, step) => {
      const result = step(session, event);
      return {
        ...result,
        effects: result.effects.map((effect) =>
          effect.type === "offer" && !session.manifestDue
            ? { ...effect, from: session.acked }
            : effect,
        ),
      };
    },
  ),
  inSession(
    "answer a wrong root with a delta",
    "ROOT_MISMATCH is not answered with a Manifest",
    (session, event, step) => {
      const result = step(session, event);
      if (
        event.type !== "nacked" ||
        event.nack.class !== NackClass.ROOT_MISMATCH
      )
        return result;
      return {
        session: { ...result.session, manifestDue: false },
        effects: result.effects.map((effect) =>
          effect.type === "offer"
            ? { ...effect, from: session.inFlight?.to, known: false }
            : effect,
        ),
      };
    },
  ),
  inSession(
    "never give up a node that does not answer",
    "that a node shows no progress is not minded",
    (session, event, step) =>
      event.type === "ticked" && session.inFlight !== undefined
        ? step(
            {
              ...session,
              inFlight: {
                ...session.inFlight,
                progressMs: event.nowMs,
                fedMs: event.nowMs,
              },
            },
            event,
          )
        : step(session, event),
  ),
  inSession(
    "never give up a silent node",
    "that nothing is heard of a node is not minded",
    (session, event, step) =>
      step(
        event.type === "ticked" ? { ...session, seenMs: event.nowMs } : session,
        event,
      ),
  ),
  inSession(
    "hold back for a node that has lost everything",
    "what a node without a state once held back is not offered to it",
    (session, event, step) => {
      const result = step(session, event);
      if (event.type !== "greeted" || session.at !== "opening") return result;
      const held = event.hello.refused.findLast(
        (refusal) => refusal.class === NackClass.HELD,
      )?.cursor;
      return { ...result, session: { ...result.session, held } };
    },
    ["history", "damage"],
  ),
  inSession(
    "hold back though another try was asked for",
    "retrying clears what was refused, and not what is held back",
    (session, event, step) => {
      if (event.type !== "retried") return step(session, event);
      const refusedRoots = new Set<string>();
      return session.held === undefined
        ? step(session, event)
        : { session: { ...session, refusedRoots }, effects: [] };
    },
  ),
  inSession(
    "never use up a permission",
    "a node that has followed once may follow for ever",
    (session, event, step) => {
      const result = step(session, event);
      return event.type === "acked" && result.session.at === "active"
        ? {
            ...result,
            session: { ...result.session, allowed: session.allowed },
          }
        : result;
    },
  ),
  inSession(
    "take a permission for that to follow another epoch",
    "a permission outlives the epoch it was given for",
    (session, event, step) => {
      const result = step(session, event);
      return event.type === "published" && session.at !== "ended"
        ? {
            ...result,
            session: { ...result.session, allowed: session.allowed },
          }
        : result;
    },
  ),
  inSession(
    "stay forked in a new epoch",
    "what was looked for in an epoch that was replaced meanwhile is believed",
    (session, event, step) => {
      const result = step(session, event);
      return event.type === "greeted" && session.at === "opening"
        ? { ...result, session: { ...result.session, forked: event.forked } }
        : result;
    },
    ["backup"],
    ({ controlPlanes }) => {
      const at = controlPlanes.findIndex(({ links }) => links.some(isForking));
      return at === -1 ? undefined : ["adopt", at, 0];
    },
  ),
  inSession(
    "count wrong roots though a right one came between",
    "an Ack does not end what is counted in a row",
    (session, event, step) => {
      const result = step(session, event);
      return event.type === "acked" && result.session.at === "active"
        ? {
            ...result,
            session: { ...result.session, mismatches: session.mismatches },
          }
        : result;
    },
  ),
  inReplica(
    "never try again to store",
    "after LOCAL_IO nothing is scheduled",
    (replica, event, step) => {
      const result = step(replica, event);
      return {
        ...result,
        effects: result.effects.filter(({ type }) => type !== "retryLater"),
      };
    },
  ),
  inReplica(
    "take any word for a confirmation",
    "what is served counts as the newest state whatever the control plane says is",
    (replica, event, step) => {
      const result = step(replica, event);
      return event.type === "heard" &&
        event.head !== undefined &&
        replica.serving !== undefined
        ? {
            ...result,
            effects: [{ type: "confirmed", cursor: replica.serving }],
          }
        : result;
    },
  ),
  inReplica(
    "apply a delta though its from is not what is served",
    "the base of a delta is not compared",
    (replica, event, step) => {
      if (event.type !== "takenUp" || replica.next?.type !== "delta")
        return step(replica, event);
      const result = step({ ...replica, serving: replica.next.from }, event);
      return {
        ...result,
        replica: { ...result.replica, serving: replica.serving },
      };
    },
  ),
  inReplica(
    "acknowledge before it is durable",
    "the Ack is sent when the compile has worked",
    (replica, event, step) => {
      const result = step(replica, event);
      const persist = result.effects.find(({ type }) => type === "persist");
      return persist?.type === "persist"
        ? {
            ...result,
            effects: [
              ...result.effects,
              {
                type: "ack",
                seq: persist.frame.seq,
                cursor: persist.frame.to,
              },
            ],
          }
        : result;
    },
  ),
  inReplica(
    "serve before it is durable",
    "commit comes before persist",
    (replica, event, step) => {
      const result = step(replica, event);
      const { apply } = result.replica;
      return event.type === "prepared" && apply?.phase === "persist"
        ? {
            replica: {
              ...result.replica,
              apply: { ...apply, phase: "commit" },
            },
            effects: [{ type: "commit", frame: apply.frame }],
          }
        : result;
    },
  ),
  inReplica(
    "skip the root check",
    "what came is served though its root is not the announced one",
    (replica, event, step) => {
      if (event.type !== "verified") return step(replica, event);
      const { loses } = event;
      return step(replica, {
        type: "verified",
        nowMs: event.nowMs,
        seq: event.seq,
        ...(loses === undefined ? {} : { loses }),
      });
    },
  ),
  inReplica(
    "take states that are older than the served one",
    "a lower revision of the same epoch is applied",
    (replica, event, step) => {
      const { next, serving } = replica;
      if (
        event.type !== "takenUp" ||
        next?.type !== "manifest" ||
        serving?.epoch !== next.to.epoch ||
        serving.revision < next.to.revision
      )
        return step(replica, event);
      const result = step({ ...replica, serving: undefined }, event);
      return { ...result, replica: { ...result.replica, serving } };
    },
  ),
  inReplica(
    "ignore what a foreign history would remove",
    "the guard against losing most entries is not asked",
    (replica, event, step) => {
      if (event.type !== "verified") return step(replica, event);
      const { damage } = event;
      return step(replica, {
        type: "verified",
        nowMs: event.nowMs,
        seq: event.seq,
        ...(damage === undefined ? {} : { damage }),
      });
    },
  ),
  inReplica(
    "keep an apply over a disconnect",
    "what was being received or compiled goes on without its stream",
    (replica, event, step) => {
      const result = step(replica, event);
      return event.type === "disconnected"
        ? {
            replica: { ...result.replica, apply: replica.apply },
            effects: [],
          }
        : result;
    },
  ),
  inReplica(
    "drop what is being stored on a disconnect",
    "the disk is left ahead of what is served",
    (replica, event, step) => {
      const result = step(replica, event);
      return event.type === "disconnected"
        ? { ...result, replica: { ...result.replica, apply: undefined } }
        : result;
    },
  ),
  inReplica(
    "take buckets of a replaced manifest for the new one",
    "what was on its way for the old manifest is not asked for again",
    (replica, event, step) => {
      const { apply, next } = replica;
      if (event.type === "arrived" && apply?.phase === "receive")
        awaited.set(
          event.frame,
          apply.outstanding.map(({ index }) => index),
        );
      if (event.type !== "takenUp" || next === undefined)
        return step(replica, event);
      const taken = awaited.get(next) ?? [];
      const lacking = event.lacking.filter(
        ({ index }) => !taken.includes(index),
      );
      return step(replica, { ...event, lacking });
    },
  ),
  inReplica(
    "forget the newest frame while an apply goes on",
    "a frame that comes during an apply is not taken up after it",
    (replica, event, step) => {
      const result = step(replica, event);
      return replica.apply !== undefined && event.type === "arrived"
        ? { ...result, replica: { ...result.replica, next: undefined } }
        : result;
    },
  ),
  inReplica(
    "forget what was refused",
    "a refusal is not told to the next control plane",
    (replica, event, step) => {
      const result = step(replica, event);
      return event.type === "refused"
        ? {
            replica: { ...result.replica, refusals: [] },
            effects: result.effects.filter(({ type }) => type !== "remember"),
          }
        : result;
    },
  ),
];
