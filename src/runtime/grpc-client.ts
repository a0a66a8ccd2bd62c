import * as grpc from "@grpc/grpc-js";
import type { BidiClientCall, BidiMethod } from "./grpc.ts";
import {
  DEFAULT_MAX_RECEIVE_BYTES,
  KEEPALIVE,
  keepaliveOptions,
  type Keepalive,
} from "./grpc-channel.ts";
import { reasonOf } from "./grpc-error.ts";
import { methodDefinition } from "./grpc-method.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";

export interface GrpcClientOptions {
  /** Largest message that is received, in bytes. Default 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** Default KEEPALIVE. */
  readonly keepalive?: Keepalive;
}

/** How long finding out why it cannot connect may take. */
const WHY_MS = 1_000;

/** A cleartext gRPC connection to one peer. It connects when it is first called; a failed call is not repeated. */
export class GrpcClient implements Disposable {
  readonly #client: grpc.Client;

  constructor(target: HostPort, options: GrpcClientOptions = {}) {
    this.#client = new grpc.Client(
      formatHostPort(target),
      grpc.credentials.createInsecure(),
      {
        "grpc.max_receive_message_length":
          options.maxReceiveBytes ?? DEFAULT_MAX_RECEIVE_BYTES,
        ...keepaliveOptions(options.keepalive ?? KEEPALIVE),
        "grpc.keepalive_permit_without_calls": 1,
        // Proxies of the environment are for the web, not for a control plane.
        "grpc.enable_http_proxy": 0,
        "grpc.enable_retries": 0,
        // Otherwise clients of one process share a connection, and its waiting time after a failure.
        "grpc.use_local_subchannel_pool": 1,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1_000,
      },
    );
  }

  /**
   * Connects, and resolves when that has worked. Rejects as soon as it is known that it does not, when it has not within
   * `timeoutMs`, or with the signal's reason.
   */
  async connect(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const channel = this.#client.getChannel();
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) return;
      if (state === grpc.connectivityState.TRANSIENT_FAILURE)
        throw await this.#whyNot();
      if (state === grpc.connectivityState.SHUTDOWN)
        throw new Error("the connection was closed");
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          reject(reasonOf(signal));
        };
        signal.addEventListener("abort", onAbort, { once: true });
        channel.watchConnectivityState(state, deadline, (error) => {
          signal.removeEventListener("abort", onAbort);
          if (error === undefined) resolve();
          else reject(new Error(`no connection within ${timeoutMs} ms`));
        });
      });
    }
  }

  /** A channel does not say why it cannot connect; a call over it does. */
  #whyNot(): Promise<Error> {
    return new Promise((resolve) => {
      const asIs = (bytes: Buffer): Buffer => bytes;
      this.#client.makeUnaryRequest(
        "/",
        asIs,
        asIs,
        Buffer.alloc(0),
        new grpc.Metadata(),
        { deadline: Date.now() + WHY_MS },
        (error) => {
          const details = error?.details ?? "it could not be connected";
          resolve(
            new Error(
              details
                .replace(/^.*Last error: (?:Error: )?/, "")
                .replace(/\. Resolution note: *$/, ""),
            ),
          );
        },
      );
    });
  }

  /** Opens a stream. Its 'error' must be listened to; aborting the signal cancels it. */
  bidi<M extends BidiMethod>(
    method: M,
    signal?: AbortSignal,
  ): BidiClientCall<M> {
    const definition = methodDefinition(method);
    const call = this.#client.makeBidiStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
    );
    if (signal !== undefined) {
      const cancel = (): void => {
        call.cancel();
      };
      if (signal.aborted) cancel();
      else {
        signal.addEventListener("abort", cancel, { once: true });
        call.once("status", () => {
          signal.removeEventListener("abort", cancel);
        });
      }
    }
    return call;
  }

  /** Cuts the connection, with all its streams. */
  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
