import type { JsonValue } from "@bufbuild/protobuf";
import type { Clock } from "../runtime/clock.ts";
import type { StatusSource } from "../runtime/status.ts";
import { nackClassName } from "../sync/names.ts";
import type { AppliedState } from "./applied-state.ts";
import { isoTime, type Freshness } from "./freshness.ts";
import type { ProxyGateway } from "./proxy-gateway.ts";
import type { ReplicaStore } from "./replica/replica-store.ts";
import type { SyncClient } from "./sync/sync-client.ts";
import type { WorkerGroup } from "./workers/worker-group.ts";

/** What a data plane says about itself at /status. */
export function dataPlaneStatus(of: {
  readonly nodeId: string;
  readonly build: string;
  readonly workspace: string;
  readonly clock: Clock;
  readonly gateway: Pick<ProxyGateway, "degraded" | "upstreams">;
  /** Where others than this process proxy. */
  readonly group?: Pick<WorkerGroup, "workers"> | undefined;
  readonly applied: AppliedState;
  readonly client: Pick<
    SyncClient<never>,
    "controlPlane" | "controlPlanes" | "refusals"
  >;
  readonly freshness: Freshness;
  readonly replica: Pick<ReplicaStore, "trouble">;
}): StatusSource {
  const { clock, gateway, applied, client, freshness, replica } = of;
  const startedMs = clock.monotonic();
  const config = (): JsonValue => {
    const { current } = applied;
    if (current === undefined) return { cursor: null, source: "none" };
    const { cursor, snapshot } = current;
    return {
      cursor: {
        epoch: cursor.epoch,
        revision: String(cursor.revision),
        root: cursor.root,
      },
      age_seconds: seconds(clock.monotonic() - current.sinceMs),
      source: current.source,
      confirmed_at: isoTime(freshness.confirmedMs),
      confirmed_age_seconds: seconds(freshness.ageMs),
      stale: freshness.isStale,
      entries: snapshot.entryCount,
      bytes: snapshot.byteCount,
    };
  };
  return {
    status: () => ({
      role: "dp",
      build: of.build,
      node: of.nodeId,
      workspace: of.workspace,
      uptime_seconds: seconds(clock.monotonic() - startedMs),
      control_plane: client.controlPlane ?? null,
      control_planes: client.controlPlanes.map((each) => ({
        address: each.address,
        state: each.state,
        last_error: each.lastError ?? null,
        next_attempt_seconds:
          each.nextAttemptMs === undefined ? null : seconds(each.nextAttemptMs),
      })),
      config: config(),
      ...(of.group === undefined
        ? {}
        : {
            workers: of.group.workers.map((each) => ({
              worker: each.worker,
              state: each.state,
              pid: each.pid ?? null,
              revision:
                each.revision === undefined ? null : String(each.revision),
              since:
                each.sinceMs === undefined
                  ? null
                  : new Date(
                      clock.now() - (clock.monotonic() - each.sinceMs),
                    ).toISOString(),
              restarts: each.restarts,
              last_end: each.lastEnd ?? null,
            })),
          }),
      disk:
        replica.trouble === undefined
          ? { writable: true }
          : {
              writable: false,
              reason: replica.trouble.reason,
              for_seconds: seconds(clock.monotonic() - replica.trouble.sinceMs),
            },
      degraded: gateway.degraded.map(({ key, reason }) => ({ key, reason })),
      refused: client.refusals.map((refusal) => ({
        class: nackClassName(refusal.class),
        revision: String(refusal.cursor?.revision ?? 0n),
        root: refusal.cursor?.root ?? "",
        violations: refusal.violations.map(({ key, field, reason }) => ({
          key,
          field,
          reason,
        })),
      })),
    }),
    notReady: () =>
      applied.current === undefined
        ? "no configuration yet: none on disk, and no control plane has sent any"
        : freshness.notReady,
    config,
    upstreams: () => ({
      upstreams: gateway.upstreams().map((upstream) => ({
        ...upstream,
        targets: upstream.targets.map((target) => ({
          ...target,
          addresses: target.addresses.map((address) => ({ ...address })),
        })),
      })),
    }),
  };
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}
