import type { Duplex } from "node:stream";
import type { ServedService } from "../runtime.ts";
import type { UpstreamAgent } from "./upstream-agent.ts";
import type { Failure } from "./failure.ts";
import type { HeaderBag } from "./header-bag.ts";
import type { SentRequest, UpstreamResponse } from "./messages.ts";

/** Where a request goes: one address, and the connections to it. */
export interface ForwardTarget {
  readonly protocol: ServedService["protocol"];
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly agent: UpstreamAgent;
}

/** What is sent. */
export interface ForwardHead {
  readonly method: string;
  /** With query. */
  readonly path: string;
  /** With Host, and without what frames the body. */
  readonly headers: HeaderBag;
  /** Content-Length or Transfer-Encoding; undefined for a request without a body that does not say so. */
  readonly framing: readonly [name: string, value: string] | undefined;
}

/** Whether the client wants the connection itself: "websocket". */
export interface ForwardOptions {
  readonly upgrade: boolean;
  /** Hands out the request at once, so that it can be given up while it connects. */
  readonly onRequest: (request: SentRequest) => void;
}

/** A request that has a connection but has sent nothing yet; or why there is none. */
export type Connected =
  | { readonly ok: true; readonly call: UpstreamCall }
  | { readonly ok: false; readonly failure: Failure };

/** What came back. */
export type Answered =
  | { readonly type: "response"; readonly response: UpstreamResponse }
  | {
      readonly type: "upgrade";
      readonly response: UpstreamResponse;
      readonly socket: Duplex;
      readonly head: Buffer;
    }
  | { readonly type: "failed"; readonly failure: Failure };

/**
 * A request under way to an upstream, given up by destroying it: then its connection is closed, whatever state it is in.
 * Errors after the answer began show on the answer's stream.
 */
export interface UpstreamCall {
  readonly request: SentRequest;
  /** Settles once, when the upstream begins to answer or fails to. */
  readonly answered: Promise<Answered>;
}

/** Makes requests to upstreams. */
export interface Forwarder {
  /** Connects to the target. Never rejects for what a network or an upstream does. */
  connect(
    target: ForwardTarget,
    head: ForwardHead,
    options: ForwardOptions,
  ): Connected | Promise<Connected>;
}

const IDEMPOTENT: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
]);

/** Whether a request of this method may be made twice. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}
