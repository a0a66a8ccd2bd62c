import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type {
  MissingNode,
  WaitForRevisionResponse,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type {
  Node,
  UpstreamHealth,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";

/** Something about a node has changed, or it was forgotten. */
export interface NodeEvent {
  readonly id: string;
  readonly workspace: string;
  /** The node, made when it is asked for: most who listen need not know it for every change. */
  readonly node: Node;
  readonly removed: boolean;
}

/** A place in the list of nodes. */
export type NodePlace = Pick<Node, "hostname" | "id">;

/** How far the nodes that count are with a revision. */
export type WaitState = Pick<WaitForRevisionResponse, "serving" | "total"> & {
  /** Nodes that do not take it until somebody does something: they refuse it, hold it back, lack a feature, are forked. */
  readonly refusing: number;
  /** Nodes that are pinned or paused before it. */
  readonly heldBack: number;
  /** Those that do not serve it. */
  readonly missing: MissingNode[];
};

/** A feature and connected nodes that lack it. */
export interface LackingNodes {
  readonly feature: { readonly name: string; readonly version: number };
  /** Whether they refuse a state that needs it, rather than serve it in part. */
  readonly refusing: boolean;
  /** Their ids. */
  readonly nodes: readonly string[];
}

/** How the targets of upstreams are doing, as connected nodes see them. */
export interface FleetView {
  readonly upstreams: Iterable<UpstreamHealth>;
  /** Nodes that left something out. */
  readonly incompleteNodes: number;
}

/** The data planes of a control plane, as people see them. */
export interface Nodes {
  /** The nodes of a workspace, by hostname, then id: those behind a place, and so many of them. Default: all. */
  list(workspace: string, after?: NodePlace, limit?: number): Node[];
  get(workspace: string, id: string): Node | undefined;
  /** Forgets what a node refused and offers it the head again. Undefined: there is no such node. */
  retry(workspace: string, id: string): Node | undefined;
  /**
   * Lets a node follow the present epoch although it loses more than half of its entries, once. Undefined: there is no
   * such node.
   */
  allow(workspace: string, id: string): Node | undefined;
  /** Drops a node that is not connected, and its pin. Undefined: there is no such node. */
  forget(
    workspace: string,
    id: string,
  ): Promise<"forgotten" | "connected" | undefined>;
  /** The ids of all nodes that have these labels. */
  labelled(
    workspace: string,
    labels: Readonly<Record<string, string>>,
  ): readonly string[];
  isPinned(workspace: string, id: string): boolean;
  /** The revision that a workspace is paused at. */
  pausedAt(workspace: string): bigint | undefined;
  /**
   * Keeps nodes at a revision, durably: all of them, or none.
   *
   * @throws ConfigError when the history does not reach it, or a node serves a later one.
   */
  pin(
    workspace: string,
    ids: readonly string[],
    revision: bigint,
  ): Promise<void>;
  /** Lets nodes follow the head again; those that are not pinned do. */
  unpin(workspace: string, ids: readonly string[]): Promise<void>;
  /** Sends nothing newer to nodes that are not pinned, until `resume`, durably. The revision that is. */
  pause(workspace: string): Promise<bigint>;
  /** Sends nodes the head again. Its revision. */
  resume(workspace: string): Promise<bigint>;
  /** Tells of every change until the returned function is called. */
  onChange(listener: (event: NodeEvent) => void): () => void;
  /**
   * Counts the nodes with these labels that are connected, or were within the last 60 s, and those of them that serve a
   * revision.
   */
  waiting(
    workspace: string,
    revision: bigint,
    labels?: Readonly<Record<string, string>>,
  ): WaitState;
  /** How the targets of upstreams are doing, by name: of all, or of one. */
  upstreamHealth(workspace: string, upstream?: string): FleetView;
  /** Which connected nodes lack any of these features: those that refuse a state for that, and those that do not. */
  unsupportedBy(
    workspace: string,
    features: readonly { readonly name: string; readonly version: number }[],
  ): LackingNodes[];
}

/** Whether a node that serves `serving` serves `revision` of `head`'s history, or a later one. */
export function servesRevision(
  serving: Cursor | undefined,
  head: Cursor,
  revision: bigint,
): boolean {
  return serving?.epoch === head.epoch && serving.revision >= revision;
}
