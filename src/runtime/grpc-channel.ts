import * as grpc from "@grpc/grpc-js";

// It writes plain text to standard error, where only lines of JSON belong; what it has to say comes as errors too.
grpc.setLogVerbosity(grpc.logVerbosity.NONE);

/** Largest message that is received when nothing else is said. */
export const DEFAULT_MAX_RECEIVE_BYTES = 4 << 20;

/** HTTP/2 pings that find a peer which is gone without a word. */
export interface Keepalive {
  /** How long a connection is quiet before it is asked for a sign of life. */
  readonly timeMs: number;
  /** How long that sign may take. */
  readonly timeoutMs: number;
}

export const KEEPALIVE: Keepalive = { timeMs: 20_000, timeoutMs: 10_000 };

/** Keepalive in the words of grpc-js. */
export function keepaliveOptions({
  timeMs,
  timeoutMs,
}: Keepalive): grpc.ChannelOptions {
  return {
    "grpc.keepalive_time_ms": timeMs,
    "grpc.keepalive_timeout_ms": timeoutMs,
  };
}
