import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import type {
  Replica,
  ReplicaEvent,
  ReplicaStep,
} from "../../../src/sync/replica/state.ts";
import type {
  Session,
  SessionEvent,
  SessionStep,
} from "../../../src/sync/session/state.ts";
import type { State } from "./contents.ts";
import type { Link } from "./control-plane-model.ts";
import type { NodeModel } from "./node-model.ts";

/** The two machines under test, or those with a bug in them. */
export interface Machines {
  readonly stepSession: (session: Session, event: SessionEvent) => SessionStep;
  readonly stepReplica: (replica: Replica, event: ReplicaEvent) => ReplicaStep;
}

/** What the models of both planes need of the world they are in. */
export interface Surroundings {
  /** The simulated monotonic clock. */
  readonly nowMs: number;
  /** The control planes do not look whether their history has what a node serves, as old builds do not. */
  readonly isTrusting: boolean;
  /** Whether anything was garbled on its way so far. */
  readonly wasGarbled: boolean;
  /** One step of a session's machine: counted and written down. */
  stepSession(link: Link, session: Session, event: SessionEvent): SessionStep;
  /** One step of a replica's machine: counted and written down. */
  stepReplica(
    node: NodeModel,
    replica: Replica,
    event: ReplicaEvent,
  ): ReplicaStep;
  /** Whether what is written to this node now is garbled on its way. */
  garbles(node: number): boolean;
  /** The state that was committed with this cursor, by anybody, ever. */
  committed(cursor: Cursor): State | undefined;
}
