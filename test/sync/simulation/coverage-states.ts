import { cursorsEqual } from "../../../src/model/cursor.ts";
import type { Replica, ReplicaEvent } from "../../../src/sync/replica/state.ts";
import type { Session, SessionEvent } from "../../../src/sync/session/state.ts";

/** The states of a session as the coverage tells them apart: `active` is several. */
type SessionState =
  | "opening"
  | "greeted"
  /** The node serves the head. */
  | "current"
  /** A frame is unanswered. */
  | "waiting"
  /** A frame was answered with LOCAL_IO: the node tries again by itself. */
  | "parked"
  /** The last write has not drained. */
  | "blocked"
  /** The node is not sent the head: it lacks something, refused it, holds it back, or is forked. */
  | "withheld"
  | "ended";

export function sessionStateOf(session: Session): SessionState {
  if (session.at !== "active") return session.at;
  if (session.inFlight !== undefined)
    return session.inFlight.parked ? "parked" : "waiting";
  if (!session.manifestDue && cursorsEqual(session.acked, session.head))
    return "current";
  return session.writable ? "withheld" : "blocked";
}

type At = Replica["at"];
type Phase = NonNullable<Replica["apply"]>["phase"] | "idle";

/** The states of a replica: its stream, and what its apply is at. */
export type ReplicaState = `${At} ${Phase}`;

export function replicaStateOf(replica: Replica): ReplicaState {
  return `${replica.at} ${replica.apply?.phase ?? "idle"}`;
}

type SessionEventType = SessionEvent["type"];
export type ReplicaEventType = ReplicaEvent["type"];

/** What schedules must do with a cell. */
export type Reach =
  /** They reach it, whatever has gone wrong before, and when nothing has. */
  | "always"
  /** They reach it whatever has gone wrong before; where nothing has, it need not happen. */
  | { readonly afterFaults: string }
  /** It takes several things at once: they reach it, but not after each fault. */
  | { readonly sometimes: string }
  /** It takes a coincidence: they may reach it. */
  | { readonly hardly: string }
  /** They cannot. */
  | { readonly never: string };

export type SessionTable = Readonly<
  Record<SessionState, Readonly<Record<SessionEventType, Reach>>>
>;
export type ReplicaTable = Readonly<
  Record<ReplicaState, Readonly<Record<ReplicaEventType, Reach>>>
>;
