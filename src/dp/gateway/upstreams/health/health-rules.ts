import type {
  Healthchecks,
  Upstream,
} from "../../../../gen/holdfast/config/v1/upstream_pb.js";
import type { HealthOutcome, Thresholds } from "./judgement.ts";

/** How an upstream's targets are judged. Durations in milliseconds. */
export interface HealthRules {
  readonly active: ActiveRules;
  readonly passive: PassiveRules;
  /** The upstream is healthy only while more than this percentage of its weight is available. */
  readonly threshold: number;
}

/** What probes look for. */
export interface ActiveRules {
  readonly type: "http" | "https" | "tcp" | "tls";
  readonly timeoutMs: number;
  /** Probes of one upstream at a time. */
  readonly concurrency: number;
  readonly path: string;
  /** Empty: the target's name. */
  readonly sni: string;
  readonly verify: boolean;
  /** Names and values, alternating. */
  readonly headers: readonly string[];
  /** 0: healthy targets are not probed. */
  readonly healthyIntervalMs: number;
  /** 0: unhealthy targets are not probed. */
  readonly unhealthyIntervalMs: number;
  readonly healthyStatuses: ReadonlySet<number>;
  readonly unhealthyStatuses: ReadonlySet<number>;
  readonly thresholds: Thresholds;
}

/** What proxied requests tell. */
export interface PassiveRules {
  /** Whether only connections count, not statuses. */
  readonly connectionsOnly: boolean;
  readonly healthyStatuses: ReadonlySet<number>;
  readonly unhealthyStatuses: ReadonlySet<number>;
  readonly thresholds: Thresholds;
}

/** Reads the health checks of an upstream whose defaults are filled in. */
export function healthRules({
  healthchecks,
}: Pick<Upstream, "healthchecks">): HealthRules {
  return {
    active: activeRules(healthchecks?.active),
    passive: passiveRules(healthchecks?.passive),
    threshold: healthchecks?.threshold ?? 0,
  };
}

/** Whether anything can make a target unhealthy; without that all are available, and their state is "off". */
export function isChecked({ active, passive }: HealthRules): boolean {
  const { httpFailures, tcpFailures, timeouts } = passive.thresholds;
  return isProbed(active) || httpFailures + tcpFailures + timeouts > 0;
}

/** Whether targets are probed at all. */
export function isProbed(active: ActiveRules): boolean {
  return active.healthyIntervalMs > 0 || active.unhealthyIntervalMs > 0;
}

/** What a status tells by these rules; undefined: nothing. */
export function outcomeOf(
  status: number,
  rules: Pick<PassiveRules, "healthyStatuses" | "unhealthyStatuses">,
): HealthOutcome | undefined {
  if (rules.healthyStatuses.has(status)) return "success";
  return rules.unhealthyStatuses.has(status) ? "http-failure" : undefined;
}

const PROBES: ReadonlyMap<string, ActiveRules["type"]> = new Map([
  ["https", "https"],
  ["tcp", "tcp"],
  // Whether somebody listens there; nothing is asked of it.
  ["grpc", "tcp"],
  ["grpcs", "tls"],
]);

function activeRules(active: Healthchecks["active"]): ActiveRules {
  const { healthy, unhealthy } = active ?? {};
  return {
    type: PROBES.get(active?.type ?? "http") ?? "http",
    timeoutMs: (active?.timeout ?? 1) * 1000,
    concurrency: active?.concurrency ?? 10,
    path: active?.httpPath ?? "/",
    sni: active?.httpsSni ?? "",
    verify: active?.httpsVerifyCertificate ?? true,
    headers: Object.entries(active?.headers ?? {}).flatMap(
      ([name, { values }]) => values.flatMap((value) => [name, value]),
    ),
    healthyIntervalMs: (healthy?.interval ?? 0) * 1000,
    unhealthyIntervalMs: (unhealthy?.interval ?? 0) * 1000,
    healthyStatuses: new Set(healthy?.httpStatuses),
    unhealthyStatuses: new Set(unhealthy?.httpStatuses),
    thresholds: {
      successes: healthy?.successes ?? 0,
      httpFailures: unhealthy?.httpFailures ?? 0,
      tcpFailures: unhealthy?.tcpFailures ?? 0,
      timeouts: unhealthy?.timeouts ?? 0,
    },
  };
}

function passiveRules(passive: Healthchecks["passive"]): PassiveRules {
  const { healthy, unhealthy } = passive ?? {};
  return {
    connectionsOnly: passive?.type === "tcp",
    healthyStatuses: new Set(healthy?.httpStatuses),
    unhealthyStatuses: new Set(unhealthy?.httpStatuses),
    thresholds: {
      successes: healthy?.successes ?? 0,
      httpFailures: unhealthy?.httpFailures ?? 0,
      tcpFailures: unhealthy?.tcpFailures ?? 0,
      timeouts: unhealthy?.timeouts ?? 0,
    },
  };
}
