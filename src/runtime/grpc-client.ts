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
import { Link, type Connector } from "./link.ts";
import type { Proxy } from "./tunnel.ts";

export interface GrpcClientOptions {
  /** Largest message that is received, in bytes. Default 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** Default KEEPALIVE. */
  readonly keepalive?: Keepalive;
  /** Makes the connection secure. Without one it is in clear text. */
  readonly tls?: Connector | undefined;
  /** The HTTP proxy to go through. The environment's are not looked at. */
  readonly proxy?: Proxy | undefined;
}

/** How long what was written may take to leave after a close. */
const LINGER_MS = 2_000;

/** How long finding out why it cannot connect may take. */
const WHY_MS = 1_000;

/** A gRPC connection to one peer. It connects when it is first called; a failed call is not repeated. */
export class GrpcClient implements Disposable {
  readonly #client: grpc.Client;
  readonly #link: Link;

  constructor(target: HostPort, options: GrpcClientOptions = {}) {
    const { tls, proxy } = options;
    this.#link = new Link({ target, tls, proxy });
    this.#client = new grpc.Client(
      formatHostPort(proxy ?? target),
      this.#link,
      {
        "grpc.max_receive_message_length":
          options.maxReceiveBytes ?? DEFAULT_MAX_RECEIVE_BYTES,
        ...keepaliveOptions(options.keepalive ?? KEEPALIVE),
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.default_authority": formatHostPort(target),
        // Proxies of the environment are for the web, not for a control plane.
        "grpc.enable_http_proxy": 0,
        "grpc.enable_retries": 0,
        "grpc.enable_channelz": 0,
        // Otherwise clients of one process share a connection, and its waiting time after a failure.
        "grpc.use_local_subchannel_pool": 1,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1_000,
      },
    );
  }

  /**
   * Connects, and resolves when that has worked. Rejects when it has failed once, with what is known of the reason, when
   * it has not worked within `timeoutMs`, or with the signal's reason.
   */
  async connect(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const channel = this.#client.getChannel();
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      const state = channel.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) return;
      if (state === grpc.connectivityState.TRANSIENT_FAILURE)
        throw await this.#failure();
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
          else reject(new Error(`no connection within ${timeoutMs / 1000} s`));
        });
      });
    }
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

  /** Ends the connection, with all its streams; what was written has a moment to leave. */
  close(): void {
    this.#client.close();
    this.#link.close();
    // A peer that does not read would keep the connection.
    setTimeout(() => {
      this.#link.destroy();
    }, LINGER_MS).unref();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Why a connection could not be made. grpc-js tells only calls. */
  async #failure(): Promise<Error> {
    return (
      this.#link.failure ??
      new Promise((resolve) => {
        this.#client.makeUnaryRequest(
          "/",
          (bytes: Buffer) => bytes,
          (bytes) => bytes,
          Buffer.alloc(0),
          new grpc.Metadata(),
          { deadline: Date.now() + WHY_MS },
          (error) => {
            resolve(new Error(lastErrorOf(error?.details ?? "")));
          },
        );
      })
    );
  }
}

/** "connect ECONNREFUSED 127.0.0.1:1" of "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ". */
function lastErrorOf(details: string): string {
  const error = details
    .replace(/^.*Last error: (?:Error: )?/, "")
    .replace(/\. Resolution note: .*$/, "")
    .replace(/ \(\d{4}-[^)]*Z\)$/, "");
  return error === "" ? "the connection failed" : error;
}
