import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type {
  GoodbyeReason,
  Hello,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Peer } from "../../runtime/peer.ts";
import type { Session, SessionEvent } from "../../sync/session/state.ts";
import type { Frames } from "./frames.ts";
import type { Pins } from "./pins.ts";
import type { WriteBudget } from "./write-budget.ts";

type Published = Pick<
  Extract<SessionEvent, { type: "published" }>,
  "head" | "needs"
>;

/** Something that happens to a session now. */
export type Happening = SessionEvent extends infer E
  ? E extends SessionEvent
    ? Omit<E, "nowMs">
    : never
  : never;

/** The stream of a node, as those see it who serve the node. */
export interface NodeStream {
  readonly peer: Peer;
  readonly session: Session;
  /** Hands an event to the session's machine and does what it says. */
  dispatch(event: Happening): void;
}

/** What a connection needs of the process, whatever its node's workspace is. */
export interface ConnectionDesk {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly build: string;
  /** Other control planes that nodes may go to, "host:port". */
  readonly alternatives: readonly string[];
  /** All frames that are written and not drained. */
  readonly budget: WriteBudget;
  /** Those of them that are pieces of snapshots. */
  readonly snapshotBudget: WriteBudget;
  /** Finds the host of a node by its Hello. */
  route(hello: Hello, peer: Peer): Routing;
  /** A message came or went. */
  counted(direction: "in" | "out", type: string, bytes: number): void;
}

/** Who takes care of a node, or why nobody does. */
export type Routing =
  { readonly ok: true; readonly host: ConnectionHost } | Refusal;

/** What a connection needs of its node's workspace. */
export interface ConnectionHost {
  readonly frames: Frames;
  readonly pins: Pins;
  /** The state that nodes should serve. */
  published(): Published & { readonly predecessors: readonly string[] };
  /** A retained state; undefined when it is gone. */
  snapshot(cursor: Cursor): Snapshot | undefined;
  /** Whether a node serves a state of this epoch that this history does not have. */
  isForked(have: Cursor | undefined): boolean | Promise<boolean>;
  readonly streams: StreamKeeper;
}

/** Who keeps the streams of a workspace's nodes. */
export interface StreamKeeper {
  /** The stream is of this workspace from now on, whatever becomes of its node. */
  enter(stream: NodeStream): void;
  /** Takes a node in by its Hello. Says what to tell it instead when it may not come in. */
  admit(stream: NodeStream, hello: Hello): Admission;
  /** Somebody should look at the node. */
  alarmed(): void;
  /** A session has moved on. */
  moved(stream: NodeStream, before: Session, event: SessionEvent): void;
  /** A stream is over. */
  left(stream: NodeStream): void;
}

/** What a node is told that may not come in. */
export interface Refusal {
  readonly ok: false;
  readonly reason: GoodbyeReason;
  readonly message: string;
  readonly retryAfterMs?: number;
}

/** Whether a node may come in. */
export type Admission =
  | {
      readonly ok: true;
      readonly refusedRoots: readonly string[];
      readonly allowed: boolean;
    }
  | Refusal;
