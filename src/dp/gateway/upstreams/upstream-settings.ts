import { createHash } from "node:crypto";
import type { Upstream } from "../../../gen/holdfast/config/v1/upstream_pb.js";
import type { Algorithm } from "./balancing/balancing.ts";
import { hashInput, type HashInput } from "./balancing/hash-input.ts";
import { healthRules, type HealthRules } from "./health/health-rules.ts";
import { addressText } from "./peer.ts";

/** An upstream without its targets, read. */
export interface UpstreamSettings {
  readonly id: string;
  readonly name: string;
  readonly algorithm: Algorithm;
  readonly slots: number;
  readonly hash: HashInput;
  readonly health: HealthRules;
  /** Whether the names in SRV records are what targets are called, instead of the target's own. */
  readonly useSrvName: boolean;
  /** The Host header that targets want; undefined for their names. */
  readonly hostHeader: string | undefined;
  /** Equal for settings that are equal. */
  readonly signature: string;
}

/** A target as the configuration has it. */
export interface ConfiguredTarget {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
}

/** Reads an upstream that the rules have passed. */
export function upstreamSettings(upstream: Upstream): UpstreamSettings {
  const { id, name, algorithm, slots, useSrvName, hostHeader } = upstream;
  const settings = {
    id,
    name,
    algorithm: ALGORITHMS.find((known) => known === algorithm) ?? "round-robin",
    slots: slots ?? 10_000,
    hash: hashInput(upstream),
    health: healthRules(upstream),
    useSrvName,
    hostHeader: hostHeader === "" ? undefined : hostHeader,
  };
  const signature = createHash("sha256")
    .update(JSON.stringify(settings, setsAsLists))
    .digest("base64");
  return { ...settings, signature };
}

/** Names a set of targets with their weights, in whatever order they come. */
export function targetsSignature(targets: readonly ConfiguredTarget[]): string {
  return targets
    .map(({ host, port, weight }) => `${addressText(host, port)} ${weight}`)
    .sort()
    .join(",");
}

const ALGORITHMS: readonly Algorithm[] = [
  "round-robin",
  "least-connections",
  "consistent-hashing",
  "latency",
];

function setsAsLists(_: string, value: unknown): unknown {
  return value instanceof Set ? [...(value as Set<unknown>)] : value;
}
