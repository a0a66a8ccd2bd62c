import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { ObjectWritable } from "@grpc/grpc-js/build/src/object-stream.js";
import type { Readable } from "node:stream";
import { systemClock, type Clock } from "./clock.ts";
import { ConnectionListener, type Gatekeeper } from "./connection-listener.ts";
import {
  DEFAULT_MAX_RECEIVE_BYTES,
  KEEPALIVE,
  keepaliveOptions,
  type Keepalive,
} from "./grpc-channel.ts";
import { GrpcError, reasonOf } from "./grpc-error.ts";
import { methodDefinition, type Outgoing } from "./grpc-method.ts";
import type { HostPort } from "./host-port.ts";
import type { Peer } from "./peer.ts";

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
 * the connection broke or the server was stopped. `peer` is who is at the other end.
 *
 * Resolving ends the stream with OK, rejecting with a GrpcError ends it with that status, with anything else with INTERNAL.
 */
export type BidiHandler<M extends DescMethod> = (
  call: BidiServerCall<M>,
  signal: AbortSignal,
  peer: Peer,
) => Promise<void>;

/** A handler for each method of a service that has bidirectional methods only. */
export type BidiHandlers<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends BidiMethod
    ? BidiHandler<S["method"][K]>
    : never;
};

/** What handlers need of the server around them. */
interface ServiceHost {
  readonly onFailure: (error: unknown) => void;
  /** Who has opened a stream, and what to call when it is over; undefined when the peer is gone already, or sent away. */
  readonly welcome: (
    address: string,
  ) => { readonly peer: Peer; readonly over: () => void } | undefined;
}

/** A service with its handlers, to be given to GrpcServer.listen. */
export interface BoundService {
  readonly definition: grpc.ServiceDefinition;
  implement(host: ServiceHost): grpc.UntypedServiceImplementation;
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
    implement: (host) =>
      Object.fromEntries(
        service.methods.map((method) => {
          const handler = byName[method.localName];
          if (handler === undefined)
            throw new TypeError(`${method.name} has no handler`);
          return [
            method.localName,
            serve(handler as BidiHandler<DescMethod>, host),
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
  /** Lets connections in. Without one they are in clear text, from whoever comes. */
  readonly tls?: Gatekeeper | undefined;
  /**
   * Connections at a time that are in their handshake or not settled (see Peer); further ones wait, in order, without
   * being served. Default: no limit.
   */
  readonly admission?: number;
  /** How long a connection may be without a stream. Default 10 s. */
  readonly idleMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/** Streams that a connection may have at a time. A peer needs one; each costs memory before anybody knows whose it is. */
const MAX_STREAMS = 32;
/** How long streams that are still open at a stop get to end by themselves. */
const CLOSE_GRACE_MS = 2_000;
/** How long the last bytes of streams that have ended get to leave. */
const FLUSH_MS = 250;

/** A gRPC server on one port. */
export class GrpcServer implements AsyncDisposable {
  /** Where it listens, with the port that the system chose when 0 was asked for. */
  readonly address: HostPort;
  readonly #server: grpc.Server;
  readonly #listener: ConnectionListener;
  #closing: Promise<void> | undefined;

  private constructor(server: grpc.Server, listener: ConnectionListener) {
    this.#server = server;
    this.#listener = listener;
    this.address = listener.address;
  }

  /** @throws ListenError */
  static async listen(
    listen: HostPort,
    services: readonly BoundService[],
    options: GrpcServerOptions,
  ): Promise<GrpcServer> {
    const server = new grpc.Server({
      "grpc.max_receive_message_length":
        options.maxReceiveBytes ?? DEFAULT_MAX_RECEIVE_BYTES,
      ...keepaliveOptions(options.keepalive ?? KEEPALIVE),
      "grpc.max_concurrent_streams": MAX_STREAMS,
      // It keeps books on every message and connection, for a service that is not offered.
      "grpc.enable_channelz": 0,
    });
    // The sockets are ours: grpc-js can neither hold connections back nor cut one.
    const injector = server.createConnectionInjector(
      grpc.ServerCredentials.createInsecure(),
    );
    const listener = await ConnectionListener.listen(listen, {
      clock: options.clock ?? systemClock,
      gatekeeper: options.tls,
      admission: options.admission,
      idleMs: options.idleMs,
      serve: (socket) => {
        injector.injectConnection(socket);
      },
    });
    const host: ServiceHost = {
      onFailure: options.onFailure,
      welcome: (address) => {
        const peer = listener.find(address);
        const over = peer?.opened();
        return peer && over && { peer, over };
      },
    };
    for (const service of services)
      server.addService(service.definition, service.implement(host));
    return new GrpcServer(server, listener);
  }

  /** Connections that wait to be let in. */
  get waiting(): number {
    return this.#listener.waiting;
  }

  /**
   * Accepts nothing new and waits for streams to end, which is their owner's doing; those that have not after `graceMs`
   * are cut off. Concurrent callers wait for the same closing.
   */
  close(graceMs = CLOSE_GRACE_MS): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(graceMs: number): Promise<void> {
    this.#listener.stop();
    // tryShutdown never completes while a bidirectional stream is open.
    const isOver = await new Promise<boolean>((resolve) => {
      const force = setTimeout(() => {
        resolve(false);
      }, graceMs);
      this.#server.tryShutdown(() => {
        clearTimeout(force);
        resolve(true);
      });
    });
    // The last words of a stream may still be in its socket: cutting it now would take them back.
    if (isOver) await this.#listener.emptied(FLUSH_MS);
    this.#server.forceShutdown();
    await this.#listener.cut();
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

/**
 * Sends messages on a stream one after the other, as sendMessage does, for a stream that sends many: listening to the
 * signal anew for each costs as much as the rest of it.
 */
export class MessageWriter<T> {
  readonly #call: ObjectWritable<T>;
  readonly #signal: AbortSignal;
  /** Fails the message that is on its way. */
  #fail: ((reason: unknown) => void) | undefined;

  constructor(call: ObjectWritable<T>, signal: AbortSignal) {
    this.#call = call;
    this.#signal = signal;
    signal.addEventListener(
      "abort",
      () => {
        this.#fail?.(reasonOf(signal));
      },
      { once: true },
    );
  }

  /** Resolves when the peer's window has taken it; not to be called before. Rejects when the signal is aborted. */
  write(message: T): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#signal.aborted) {
        reject(reasonOf(this.#signal));
        return;
      }
      this.#fail = reject;
      this.#call.write(message, (error?: Error | null) => {
        this.#fail = undefined;
        if (error == null) resolve();
        else reject(error);
      });
    });
  }
}

function serve(
  handler: BidiHandler<DescMethod>,
  host: ServiceHost,
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
    const welcome = host.welcome(call.getPeer());
    if (welcome === undefined) {
      call.end();
      return;
    }
    void handler(call, gone.signal, welcome.peer)
      .finally(welcome.over)
      .then(
        () => {
          if (!gone.signal.aborted) call.end();
        },
        (error: unknown) => {
          if (!gone.signal.aborted) {
            call.off("error", onGone);
            call.emit("error", statusOf(error));
          }
          if (!(error instanceof GrpcError) && error !== gone.signal.reason)
            host.onFailure(error);
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
