import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { MissingNodeSchema } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import {
  NodeSchema,
  type Node,
  type UpstreamHealth,
} from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
import type {
  FleetView,
  NodeEvent,
  NodePlace,
  Nodes,
  WaitState,
} from "../../src/cp/distributor/nodes.ts";

type NodeInit = MessageInitShape<typeof NodeSchema>;

function hasLabels(
  node: Node,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(labels).every(
    ([name, value]) => node.labels[name] === value,
  );
}

function eventOf(node: Node, removed: boolean): NodeEvent {
  return { id: node.id, workspace: node.workspace, node, removed };
}

/** Nodes as a test says they are. Those with a `lastNack` refuse every revision they do not serve. */
export class FakeNodes implements Nodes {
  readonly #nodes = new Map<string, Node>();
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly retried: string[] = [];
  readonly allowed: string[] = [];
  /** The revisions that nodes are pinned to. */
  readonly pins = new Map<string, bigint>();
  paused: bigint | undefined;

  /** What nodes have told of upstreams. */
  upstreams: readonly UpstreamHealth[] = [];

  upstreamHealth(_workspace: string, upstream?: string): FleetView {
    return {
      upstreams: this.upstreams.filter(
        ({ upstream: name }) => upstream === undefined || name === upstream,
      ),
      incompleteNodes: 0,
    };
  }

  /** How many listen for changes. */
  get listeners(): number {
    return this.#listeners.size;
  }

  set(init: NodeInit & { id: string }): void {
    const node = create(NodeSchema, {
      workspace: "default",
      hostname: init.id,
      connected: true,
      ...init,
    });
    this.#nodes.set(node.id, node);
    this.#tell(eventOf(node, false));
  }

  /** The node serves this revision. */
  serve(id: string, revision: bigint): void {
    this.set({ id, serving: { epoch: "e", revision, root: "" } });
  }

  forget(
    workspace: string,
    id: string,
  ): Promise<"forgotten" | "connected" | undefined> {
    const node = this.get(workspace, id);
    if (node === undefined) return Promise.resolve(undefined);
    if (node.connected) return Promise.resolve("connected");
    this.remove(id);
    return Promise.resolve("forgotten");
  }

  labelled(
    workspace: string,
    labels: Readonly<Record<string, string>>,
  ): readonly string[] {
    return this.list(workspace)
      .filter((node) => hasLabels(node, labels))
      .map(({ id }) => id);
  }

  isPinned(_workspace: string, id: string): boolean {
    return this.pins.has(id);
  }

  pausedAt(): bigint | undefined {
    return this.paused;
  }

  pin(
    workspace: string,
    ids: readonly string[],
    revision: bigint,
  ): Promise<void> {
    for (const id of ids) {
      this.pins.set(id, revision);
      const node = this.get(workspace, id);
      if (node !== undefined) this.set({ ...node, pinnedRevision: revision });
    }
    return Promise.resolve();
  }

  unpin(workspace: string, ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.pins.delete(id);
      const node = this.get(workspace, id);
      if (node === undefined) continue;
      delete node.pinnedRevision;
      this.set(node);
    }
    return Promise.resolve();
  }

  pause(): Promise<bigint> {
    this.paused ??= 1n;
    return Promise.resolve(this.paused);
  }

  resume(): Promise<bigint> {
    this.paused = undefined;
    return Promise.resolve(1n);
  }

  /** The node is not there any more, as after 14 days. */
  remove(id: string): void {
    const node = this.#nodes.get(id);
    this.#nodes.delete(id);
    if (node !== undefined) this.#tell(eventOf(node, true));
  }

  allow(workspace: string, id: string): Node | undefined {
    this.allowed.push(id);
    return this.get(workspace, id);
  }

  list(workspace: string, after?: NodePlace, limit = Infinity): Node[] {
    const place = ({ hostname, id }: NodePlace): string => `${hostname}\0${id}`;
    return [...this.#nodes.values()]
      .filter((node) => node.workspace === workspace)
      .filter((node) => after === undefined || place(node) > place(after))
      .sort((a, b) => (place(a) < place(b) ? -1 : 1))
      .slice(0, limit);
  }

  get(workspace: string, id: string): Node | undefined {
    return this.list(workspace).find((node) => node.id === id);
  }

  retry(workspace: string, id: string): Node | undefined {
    this.retried.push(id);
    return this.get(workspace, id);
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waiting(
    workspace: string,
    revision: bigint,
    labels: Readonly<Record<string, string>> = {},
  ): WaitState {
    const counted = this.list(workspace).filter(
      (node) => node.connected && hasLabels(node, labels),
    );
    const missing = counted.filter(
      (node) => (node.serving?.revision ?? 0n) < revision,
    );
    return {
      total: counted.length,
      serving: counted.length - missing.length,
      refusing: missing.filter((node) => node.lastNack !== undefined).length,
      heldBack: missing.filter(({ id }) => {
        const pin = this.pins.get(id) ?? this.paused;
        return pin !== undefined && pin < revision;
      }).length,
      missing: missing.map(({ id, hostname, serving, reason }) =>
        create(MissingNodeSchema, {
          id,
          hostname,
          reason,
          ...(serving === undefined ? {} : { serving }),
        }),
      ),
    };
  }

  unsupportedBy(): [] {
    return [];
  }

  #tell(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
