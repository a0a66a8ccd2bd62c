import type { LogEntry } from "../../gateway/log-entry.ts";

/** A request's place in a trace, and its end when it has come. */
export interface Traced {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentId: string;
  readonly sampled: boolean;
}

/** What a span tells of a request: not the request itself, which may be long gone. */
export type SpanFacts = Pick<
  LogEntry,
  | "requestId"
  | "startedAt"
  | "clientIp"
  | "latencies"
  | "tries"
  | "route"
  | "service"
  | "consumer"
  | "source"
> & {
  readonly method: string;
  readonly scheme: string;
  readonly httpVersion: string;
  readonly url: string;
  readonly host: string;
  readonly path: string;
  readonly status: number;
};

/** A request whose span is to be sent. */
export interface TracedRequest {
  readonly traced: Traced;
  readonly entry: SpanFacts;
}
