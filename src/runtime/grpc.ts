import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { ObjectWritable } from "@grpc/grpc-js/build/src/object-stream.js";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Readable } from "node:stream";
import {
  DEFAULT_MAX_RECEIVE_BYTES,
  KEEPALIVE,
  keepaliveOptions,
  type Keepalive,
} from "./grpc-channel.ts";
import { GrpcError, reasonOf } from "./grpc-error.ts";
import { methodDefinition, type Outgoing } from "./grpc-method.ts";
import { formatHostPort, ListenError, type HostPort } from "./host-port.ts";

/** A method with a stream in both directions. */
export type BidiMethod = DescMethod & { readonly methodKind: "bidi_streaming" };

declare const ofMethod: unique symbol;

/** Lets the compiler tell the method from its stream; never set. */
interface OfMethod<M extends DescMethod> {
  readonly [ofMethod]?: M;
}

/** A bidirectional stream as the server sees it. */
export type BidiServerCall<M extends DescMethod> = OfMethod<M> &
  grpc.ServerDuplexStream<MessageShape<M["input"]>, Outgoing<M["output"]>>;

/** A bidirectional stream as the client sees it. */
export type BidiClientCall<M extends DescMethod> = OfMethod<M> &
  grpc.ClientDuplexStream<Outgoing<M["input"]>, MessageShape<M["output"]>>;

/**
 * Serves one stream and settles when it is done with it. `signal` is aborted when the stream is gone: the peer cancelled,
 * the connection broke or the server was stopped.
 *
 * Resolving ends the stream with OK, rejecting with a GrpcError ends it with that status, with anything else with INTERNAL.
 */
export type BidiHandler<M extends DescMethod> = (
  call: BidiServerCall<M>,
  signal: AbortSignal,
) => Promise<void>;

/** A handler for each method of a service that has bidirectional methods only. */
export type BidiHandlers<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends BidiMethod
    ? BidiHandler<S["method"][K]>
    : never;
};

/** A service with its handlers, to be given to GrpcServer.listen. */
export interface BoundService {
  readonly definition: grpc.ServiceDefinition;
  implement(
    onFailure: (error: unknown) => void,
  ): grpc.UntypedServiceImplementation;
}

/** Ties handlers to a service. */
export function bindBidi<S extends DescService>(
  service: S,
  handlers: BidiHandlers<S>,
): BoundService {
  const byName: Readonly<Record<string, unknown>> = handlers;
  return {
    definition: Object.fromEntries(
      service.methods.map((method) => [
        method.localName,
        methodDefinition(method),
      ]),
    ),
    implement: (onFailure) =>
      Object.fromEntries(
        service.methods.map((method) => {
          const handler = byName[method.localName];
          if (handler === undefined)
            throw new TypeError(`${method.name} has no handler`);
          return [
            method.localName,
            serve(handler as BidiHandler<DescMethod>, onFailure),
          ];
        }),
      ),
  };
}

export interface GrpcServerOptions {
  /** Hears what handlers failed with, other than a GrpcError. The peer is not told. */
  readonly onFailure: (error: unknown) => void;
  /** Largest message that is received, in bytes. Default 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** Default KEEPALIVE. */
  readonly keepalive?: Keepalive;
}

/** How long streams that are still open at a stop get to end by themselves. */
const CLOSE_GRACE_MS = 2_000;

/** A cleartext gRPC server on one port. */
export class GrpcServer implements AsyncDisposable {
  /** Where it listens, with the port that the system chose when 0 was asked for. */
  readonly address: HostPort;
  readonly #server: grpc.Server;
  #closing: Promise<void> | undefined;

  private constructor(server: grpc.Server, address: HostPort) {
    this.#server = server;
    this.address = address;
  }

  /** @throws ListenError */
  static async listen(
    listen: HostPort,
    services: readonly BoundService[],
    options: GrpcServerOptions,
  ): Promise<GrpcServer> {
    // Channelz stays on: with it off forceShutdown does not know the connections and leaves them open.
    const server = new grpc.Server({
      "grpc.max_receive_message_length":
        options.maxReceiveBytes ?? DEFAULT_MAX_RECEIVE_BYTES,
      ...keepaliveOptions(options.keepalive ?? KEEPALIVE),
    });
    for (const service of services)
      server.addService(
        service.definition,
        service.implement(options.onFailure),
      );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(
        formatHostPort(listen),
        grpc.ServerCredentials.createInsecure(),
        (error, bound) => {
          if (error === null) resolve(bound);
          else reject(error);
        },
      );
    }).catch(async (error: unknown) => {
      throw new ListenError(listen, await whyNot(listen, error));
    });
    return new GrpcServer(server, { host: listen.host, port });
  }

  /**
   * Accepts nothing new and waits for streams to end, which is their owner's doing; those that have not after `graceMs`
   * are cut off. Concurrent callers wait for the same closing.
   */
  close(graceMs = CLOSE_GRACE_MS): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      // tryShutdown never completes while a bidirectional stream is open.
      const force = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, graceMs);
      this.#server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * The messages of a stream, read one at a time: while one is handled the peer is held back. Ending the loop early leaves
 * the stream open (Node's own iterator would destroy it, and the peer would see CANCELLED).
 */
export function messagesOf<M extends DescMethod>(
  call: BidiServerCall<M>,
): AsyncIterable<MessageShape<M["input"]>>;
export function messagesOf<M extends DescMethod>(
  call: BidiClientCall<M>,
): AsyncIterable<MessageShape<M["output"]>>;
export function messagesOf(
  call: Pick<Readable, "iterator">,
): AsyncIterable<unknown> {
  return {
    [Symbol.asyncIterator]: () => call.iterator({ destroyOnReturn: false }),
  };
}

/**
 * Sends one message and resolves when the peer's window has taken it. Rejects when the signal is aborted, which the
 * owner's is when the stream is gone: the stream itself may then never tell.
 */
export function sendMessage<T>(
  call: ObjectWritable<T>,
  message: T,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(reasonOf(signal));
      return;
    }
    const onAbort = (): void => {
      reject(reasonOf(signal));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    call.write(message, (error?: Error | null) => {
      signal.removeEventListener("abort", onAbort);
      if (error == null) resolve();
      else reject(error);
    });
  });
}

/** grpc-js does not say why it cannot listen; the system does, when asked again. */
async function whyNot(listen: HostPort, error: unknown): Promise<unknown> {
  const probe = createServer();
  try {
    probe.listen(listen.port, listen.host);
    await once(probe, "listening");
    return error;
  } catch (cause) {
    return cause;
  } finally {
    probe.close();
  }
}

function serve(
  handler: BidiHandler<DescMethod>,
  onFailure: (error: unknown) => void,
): grpc.handleBidiStreamingCall<
  MessageShape<DescMessage>,
  Outgoing<DescMessage>
> {
  return (call) => {
    const gone = new AbortController();
    const onGone = (): void => {
      gone.abort(new GrpcError(grpc.status.CANCELLED, "the stream is gone"));
    };
    call.on("cancelled", onGone);
    // A broken stream reports 'error' too; without a listener that would end the process.
    call.on("error", onGone);
    void handler(call, gone.signal).then(
      () => {
        if (!gone.signal.aborted) call.end();
      },
      (error: unknown) => {
        if (!gone.signal.aborted) {
          call.off("error", onGone);
          call.emit("error", statusOf(error));
        }
        if (!(error instanceof GrpcError) && error !== gone.signal.reason)
          onFailure(error);
      },
    );
  };
}

function statusOf(error: unknown): {
  readonly code: grpc.status;
  readonly details: string;
} {
  return error instanceof GrpcError
    ? { code: error.code, details: error.message }
    : { code: grpc.status.INTERNAL, details: "internal error" };
}
