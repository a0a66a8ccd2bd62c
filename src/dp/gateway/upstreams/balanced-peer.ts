import type { Failure } from "../proxy/failure.ts";
import type { BalancingTools, Peer } from "./balancing/balancing.ts";
import { addLatency } from "./balancing/lowest-latency.ts";
import type { DnsAnswer } from "./dns/answer.ts";
import { outcomeOf, type PassiveRules } from "./health/health-rules.ts";
import type { UpstreamHealth } from "./health/upstream-health.ts";
import type { PickedPeer } from "./peer.ts";

/** A peer that an attempt goes to: what becomes of that counts for its health, its load and its latency. */
export class BalancedPeer implements PickedPeer {
  readonly address: string;
  readonly port: number;
  readonly #peer: Peer;
  readonly #rules: PassiveRules;
  readonly #tools: BalancingTools & { readonly health: UpstreamHealth };
  #released = false;

  constructor(
    peer: Peer,
    { address, port }: { readonly address: string; readonly port: number },
    rules: PassiveRules,
    tools: BalancingTools & { readonly health: UpstreamHealth },
  ) {
    this.#peer = peer;
    this.address = address;
    this.port = port;
    this.#rules = rules;
    this.#tools = tools;
    peer.state.requests++;
  }

  get name(): string {
    return this.#peer.name;
  }

  answered(status: number, latencyMs: number): void {
    const { state } = this.#peer;
    addLatency(state, latencyMs, this.#tools.nowMs());
    if (this.#rules.connectionsOnly) return;
    const outcome = outcomeOf(status, this.#rules);
    if (outcome !== undefined)
      this.#tools.health.report(state, "passive", outcome);
  }

  failed(how: "connection" | "timeout"): void {
    this.#tools.health.report(
      this.#peer.state,
      "passive",
      how === "timeout" ? "timeout" : "tcp-failure",
    );
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#peer.state.requests--;
  }
}

/** Why a request whose name has no address fails. */
export function lookupFailure(
  answer: Extract<DnsAnswer, { ok: false }>,
): Failure {
  return {
    reason: answer.missing ? "unresolved" : "resolver-failed",
    detail: answer.detail,
    retriable: false,
  };
}
