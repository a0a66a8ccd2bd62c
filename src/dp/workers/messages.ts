import type { LogLevel } from "../../runtime/logger.ts";
import type { HostPort } from "../../runtime/host-port.ts";
import type { Feature } from "../../model/features.ts";
import type { CounterStep } from "../plugins/counters.ts";
import type { Explained } from "../gateway/explain/explain.ts";
import type { ExplainQuestion } from "../gateway/explain/question.ts";
import type { Degradation } from "../gateway/runtime.ts";
import type { Violation } from "../gateway/compile/compile.ts";
import type { HealthEvent } from "../gateway/upstreams/health/upstream-health.ts";
import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { GatewaySettings, Plain } from "../gateway/settings.ts";

/** A cursor as JSON has it. */
interface PlainCursor {
  readonly epoch: string;
  readonly revision: string;
  readonly root: string;
}

/** What a worker is made with. */
export interface WorkerSettings {
  /** From 1; a replacement has the number of the one before it. */
  readonly number: number;
  readonly logLevel: LogLevel;
  readonly gateway: Plain<GatewaySettings>;
}

/** Where workers listen: in clear text and, if so, with TLS. No port is 0. */
export type ListenAt = readonly [plain: HostPort, secure?: HostPort];

/** What the data plane tells a worker. */
export type ToWorker =
  | { readonly type: "settings"; readonly settings: WorkerSettings }
  | {
      /** A state to come, as what differs from the one that the worker serves. */
      readonly type: "state";
      readonly id: number;
      readonly cursor: PlainCursor;
      readonly workspace: string;
      /** Buckets that are not there any more. */
      readonly removed: readonly number[];
      /** Index and size of the buckets that are new or others. Their bytes follow, in this order and without a gap. */
      readonly changed: readonly (readonly [index: number, size: number])[];
    }
  | { readonly type: "bytes"; readonly id: number }
  | { readonly type: "commit"; readonly id: number }
  | { readonly type: "drop"; readonly id: number }
  | { readonly type: "listen"; readonly at: ListenAt }
  | { readonly type: "reopenLogs" }
  /** Another worker has found this out about an upstream's address. */
  | { readonly type: "health"; readonly event: HealthEvent }
  /** To tell which addresses are not healthy. */
  | { readonly type: "states"; readonly id: number }
  /** Send probes, or leave that to another worker. */
  | { readonly type: "probe"; readonly on: boolean }
  | {
      readonly type: "explain";
      readonly id: number;
      readonly question: ExplainQuestion;
    }
  | { readonly type: "ping" }
  | {
      readonly type: "counted";
      readonly id: number;
      readonly values: readonly number[];
    }
  | { readonly type: "metrics"; readonly id: number }
  /** Let requests under way end, and end. */
  | { readonly type: "close" };

/** What became of preparing a state. */
export type PreparedNews =
  | {
      readonly ok: true;
      readonly degraded: readonly Degradation[];
      readonly warnings: readonly Degradation[];
      readonly counts: { readonly routes: number; readonly services: number };
    }
  | {
      readonly ok: false;
      readonly class: "INVALID" | "UNSUPPORTED" | "CRASHED";
      readonly violations: readonly Violation[];
    }
  /** Something that does not happen has happened: the worker ends. */
  | { readonly ok: false; readonly class: "BROKEN"; readonly reason: string };

/** What a worker tells the data plane. */
export type FromWorker =
  /** It has been set up. */
  | { readonly type: "hello"; readonly features: readonly Feature[] }
  /** It cannot be set up. */
  | { readonly type: "failed"; readonly reason: string }
  | {
      readonly type: "progress";
      readonly id: number;
      readonly done: number;
      readonly total: number;
    }
  | {
      readonly type: "prepared";
      readonly id: number;
      readonly news: PreparedNews;
    }
  | {
      readonly type: "committed";
      readonly id: number;
      /** The upstreams and their targets, of the first state that it serves. */
      readonly upstreams?: readonly UpstreamView[];
    }
  | {
      readonly type: "listening";
      readonly address: string;
      readonly tlsAddress: string;
    }
  | {
      readonly type: "notListening";
      /** The address that it was not to be had at. */
      readonly listen: HostPort;
      readonly code: string;
      readonly reason: string;
    }
  | {
      readonly type: "pong";
      /** Requests by revision since the last one. */
      readonly counts: readonly {
        readonly revision: string;
        readonly requests: string;
        readonly errors: string;
      }[];
      /** The upstreams and their targets, when they are others than those told last. */
      readonly upstreams?: readonly UpstreamView[];
    }
  | {
      readonly type: "count";
      readonly id: number;
      readonly steps: readonly CounterStep[];
    }
  | { readonly type: "health"; readonly event: HealthEvent }
  | {
      readonly type: "states";
      readonly id: number;
      readonly states: readonly HealthEvent[];
    }
  | {
      readonly type: "explained";
      readonly id: number;
      readonly explained: Explained;
    }
  | {
      readonly type: "metrics";
      readonly id: number;
      readonly metrics: readonly unknown[];
    };

/** What became of listening. */
export type ListenNews = Extract<
  FromWorker,
  { readonly type: "listening" | "notListening" }
>;
