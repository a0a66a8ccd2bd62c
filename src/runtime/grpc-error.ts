import * as grpc from "@grpc/grpc-js";

/** Ends a stream with this status. The details are shown to the peer. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: grpc.status;

  constructor(code: grpc.status, details: string) {
    super(details);
    this.code = code;
  }
}

/** Why a signal was aborted, as an error. */
export function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new GrpcError(grpc.status.CANCELLED, "the stream is gone");
}
