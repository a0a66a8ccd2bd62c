import { create } from "@bufbuild/protobuf";
import {
  UpstreamHealthSchema,
  type UpstreamHealth,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type {
  Report,
  TargetHealth,
} from "../../gen/holdfast/sync/v1/sync_pb.js";

/** Targets of all nodes that are remembered. */
const MAX_TARGETS = 1_000_000;
/** Nodes that are named for an address. */
const MAX_NAMED = 16;

interface Told {
  readonly targets: readonly TargetHealth[];
  readonly isWhole: boolean;
}

/** How many nodes see one address in which state. */
interface Tally {
  readonly target: string;
  readonly address: string;
  readonly counts: {
    healthy: number;
    unhealthy: number;
    dnsError: number;
    off: number;
  };
  /** Nodes that do not see it take requests. */
  readonly troubled: Set<string>;
}

/**
 * What connected nodes have told of the targets of upstreams, added up as it comes: a report costs what it has, and
 * reading does not go through the nodes.
 */
export class FleetHealth {
  readonly #nodes = new Map<string, Told>();
  readonly #upstreams = new Map<string, Map<string, Tally>>();
  readonly #maxTargets: number;
  #targets = 0;
  #incomplete = 0;

  constructor(maxTargets = MAX_TARGETS) {
    this.#maxTargets = maxTargets;
  }

  /** A node has reported. */
  report(node: string, { targets, targetCount }: Report): void {
    if (targetCount === undefined) return;
    this.leave(node);
    if (targetCount === 0) return;
    const kept = targets.slice(0, this.#maxTargets - this.#targets);
    const isWhole = kept.length >= targetCount;
    this.#targets += kept.length;
    if (!isWhole) this.#incomplete++;
    this.#nodes.set(node, { targets: kept, isWhole });
    for (const told of kept) this.#count(node, told, 1);
  }

  /** A node is gone: what it saw is no news any more. */
  leave(node: string): void {
    const before = this.#nodes.get(node);
    if (before === undefined) return;
    this.#nodes.delete(node);
    this.#targets -= before.targets.length;
    if (!before.isWhole) this.#incomplete--;
    for (const told of before.targets) this.#count(node, told, -1);
  }

  /** Nodes that had more to tell. */
  get incompleteNodes(): number {
    return this.#incomplete;
  }

  /**
   * How the targets of upstreams are doing, ordered by name.
   *
   * @param upstream Only of this one.
   */
  *list(upstream?: string): Generator<UpstreamHealth, void, undefined> {
    const names =
      upstream === undefined ? [...this.#upstreams.keys()].sort() : [upstream];
    for (const name of names) {
      const tallies = this.#upstreams.get(name);
      if (tallies !== undefined)
        yield create(UpstreamHealthSchema, {
          upstream: name,
          addresses: [...tallies]
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([, tally]) => ({
              target: tally.target,
              address: tally.address,
              ...tally.counts,
              nodes: [...tally.troubled].slice(0, MAX_NAMED),
            })),
        });
    }
  }

  #count(node: string, told: TargetHealth, by: 1 | -1): void {
    let tallies = this.#upstreams.get(told.upstream);
    if (tallies === undefined)
      this.#upstreams.set(told.upstream, (tallies = new Map<string, Tally>()));
    const { target, address } = told;
    const key = `${target}\0${address}`;
    let tally = tallies.get(key);
    if (tally === undefined) {
      const counts = { healthy: 0, unhealthy: 0, dnsError: 0, off: 0 };
      tally = { target, address, counts, troubled: new Set() };
      tallies.set(key, tally);
    }
    const counter = COUNTERS.get(told.state) ?? "unhealthy";
    tally.counts[counter] += by;
    if (counter === "unhealthy" || counter === "dnsError") {
      if (by === 1) tally.troubled.add(node);
      else tally.troubled.delete(node);
    }
    const { healthy, unhealthy, dnsError, off } = tally.counts;
    if (healthy + unhealthy + dnsError + off > 0) return;
    tallies.delete(key);
    if (tallies.size === 0) this.#upstreams.delete(told.upstream);
  }
}

/** What a newer node may call it besides is not healthy. */
const COUNTERS: ReadonlyMap<string, keyof Tally["counts"]> = new Map([
  ["healthy", "healthy"],
  ["dns_error", "dnsError"],
  ["off", "off"],
]);
