import {
  GoodbyeReason,
  type Hello,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Logger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import type { Session, SessionEvent } from "../../sync/session/state.ts";
import type { Admission, NodeStream, StreamKeeper } from "./connection-host.ts";
import type { DistributorMetrics } from "./distributor-metrics.ts";
import type { FleetHealth } from "./fleet-health.ts";
import { refuseIdentity } from "./identity.ts";
import type { NodeRegistry } from "./node-registry.ts";
import type { Target } from "./rollout.ts";

/** What nodes are told that are sent away. */
export interface Dismissal {
  readonly reason: GoodbyeReason;
  readonly message: string;
  readonly retryAfterMs?: number;
}

export interface NodeStreamsOptions {
  readonly workspace: string;
  readonly logger: Logger;
  readonly metrics: DistributorMetrics;
  readonly registry: NodeRegistry;
  readonly fleet: FleetHealth;
  /** What a node should serve, with what is about to be published. */
  readonly newestOf: (node: string) => Target;
  /** The epoch of what is published. */
  readonly epoch: () => string;
}

/** The streams of one workspace's nodes: who may come in, whose each of them is, and what is learnt from them. */
export class NodeStreams implements StreamKeeper {
  readonly #options: NodeStreamsOptions;
  readonly #streams = new Set<NodeStream>();
  /** The stream of each node that has greeted. */
  readonly #byNode = new Map<string, NodeStream>();
  /** Rings when the last stream has ended. */
  readonly #emptied = new Set<() => void>();
  #dismissal: Dismissal | undefined;

  constructor(options: NodeStreamsOptions) {
    this.#options = options;
  }

  /** All of them, also of nodes that have not greeted. */
  all(): Iterable<NodeStream> {
    return this.#streams;
  }

  /** The stream of a node that has greeted. */
  of(node: string): NodeStream | undefined {
    return this.#byNode.get(node);
  }

  /** How many nodes have greeted. */
  get greeted(): number {
    return this.#byNode.size;
  }

  /** Sends all nodes away, and those that still come. Resolves when their streams have ended. */
  async dismiss(dismissal: Dismissal): Promise<void> {
    this.#dismissal ??= dismissal;
    for (const stream of this.#streams)
      stream.dispatch({ type: "dismissed", ...dismissal });
    if (this.#streams.size > 0)
      await new Promise<void>((resolve) => {
        this.#emptied.add(resolve);
      });
  }

  enter(stream: NodeStream): void {
    this.#streams.add(stream);
  }

  /** Takes a node in by its Hello, in place of an older stream of the same process. */
  admit(stream: NodeStream, hello: Hello): Admission {
    const { logger, registry, newestOf, epoch } = this.#options;
    if (this.#dismissal !== undefined) return { ok: false, ...this.#dismissal };
    const { node } = hello;
    if (node === undefined)
      return {
        ok: false,
        reason: GoodbyeReason.PROTOCOL,
        message: "Hello names no node",
      };
    const other = this.#byNode.get(node.id);
    const refusal = refuseIdentity(node, stream, other, logger);
    if (refusal !== undefined) return refusal;
    if (!registry.makeRoom(node.id))
      return {
        ok: false,
        reason: GoodbyeReason.OVERLOAD,
        message: "too many nodes are connected",
        retryAfterMs: LIMITS.hopelessRetryMs,
      };
    // The same process came back before its old stream was seen to break.
    other?.dispatch({
      type: "dismissed",
      reason: GoodbyeReason.DUPLICATE,
      message: "replaced by a newer stream of the same process",
    });
    this.#byNode.set(node.id, stream);
    // Its first state is the newest: a node must not be sent one that is known to be replaced in a moment.
    stream.dispatch({ type: "published", ...newestOf(node.id) });
    const refusedRoots = registry.refusedRoots(hello);
    if (registry.isForgiven(node.id)) hello.refused = [];
    logger.info("node.connected", {
      node: node.id,
      hostname: node.hostname,
      build: node.build,
      have: hello.have?.revision,
    });
    const allowed = registry.isAllowed(node.id, epoch());
    return { ok: true, refusedRoots, allowed };
  }

  alarmed(): void {
    const { workspace, metrics } = this.#options;
    metrics.alarmed(workspace);
  }

  moved(stream: NodeStream, before: Session, event: SessionEvent): void {
    const { workspace, logger, metrics, registry, fleet } = this.#options;
    const { session } = stream;
    const node = session.hello?.node;
    if (node === undefined || this.#byNode.get(node.id) !== stream) return;
    if (event.type === "greeted" && before.at === "opening" && session.hello) {
      registry.join(session.hello, stream.peer, session);
      return;
    }
    registry.observe(node.id, session);
    switch (event.type) {
      case "reported":
        registry.report(node.id, event.report);
        fleet.report(node.id, event.report);
        return;
      case "nacked":
        metrics.nacked(workspace, event.nack.class);
        logger.warn("node.nacked", {
          node: node.id,
          revision: event.nack.cursor?.revision,
          class: event.nack.class,
          violations: event.nack.violations.slice(0, 3),
        });
        return;
      case "acked":
        metrics.acked(registry.roundTripMs(node.id));
        // One for each node and change.
        logger.debug("node.acked", {
          node: node.id,
          revision: event.ack.cursor?.revision,
        });
        return;
      default:
    }
  }

  left(stream: NodeStream): void {
    this.#streams.delete(stream);
    this.#leave(stream);
    if (this.#streams.size > 0) return;
    for (const ring of this.#emptied) ring();
    this.#emptied.clear();
  }

  #leave(stream: NodeStream): void {
    const { logger, registry, fleet } = this.#options;
    const id = stream.session.hello?.node?.id;
    if (id === undefined || this.#byNode.get(id) !== stream) return;
    this.#byNode.delete(id);
    registry.leave(id);
    fleet.leave(id);
    logger.info("node.disconnected", { node: id });
  }
}
