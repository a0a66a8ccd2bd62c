import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { ObjectWritable } from "@grpc/grpc-js/build/src/object-stream.js";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Readable } from "node:stream";
import { formatHostPort, ListenError, type HostPort } from "./host-port.ts";

// It writes plain text to standard error, where only lines of JSON belong; what it has to say comes as errors too.
grpc.setLogVerbosity(grpc.logVerbosity.NONE);

/** A message to send; one that is encoded already is sent as it is, so that one encoding serves many streams. */
export type Outgoing<T extends DescMessage> = MessageInitShape<T> | Uint8Array;

type BidiMethod = DescMethod & { readonly methodKind: "bidi_streaming" };

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

/** Ends a stream with this status. The details are shown to the peer. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: grpc.status;

  constructor(code: grpc.status, details: string) {
    super(details);
    this.code = code;
  }
}

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

/** HTTP/2 pings that find a peer which is gone without a word. */
export interface Keepalive {
  /** How long a connection is quiet before it is asked for a sign of life. */
  readonly timeMs: number;
  /** How long that sign may take. */
  readonly timeoutMs: number;
}

export const KEEPALIVE: Keepalive = { timeMs: 20_000, timeoutMs: 10_000 };

const DEFAULT_MAX_RECEIVE_BYTES = 4 << 20;

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

export interface GrpcClientOptions {
  /** Largest message that is received, in bytes. Default 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** Default KEEPALIVE. */
  readonly keepalive?: Keepalive;
}

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
   * Connects, and resolves when that has worked. Rejects when it has not within `timeoutMs`, or with the signal's reason.
   */
  async connect(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        reject(reasonOf(signal));
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
        signal.removeEventListener("abort", onAbort);
        if (error === undefined) resolve();
        else reject(error);
      });
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

function methodDefinition<M extends DescMethod>(method: M) {
  const input: M["input"] = method.input;
  const output: M["output"] = method.output;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream:
      method.methodKind === "client_streaming" ||
      method.methodKind === "bidi_streaming",
    responseStream:
      method.methodKind === "server_streaming" ||
      method.methodKind === "bidi_streaming",
    requestSerialize: serializer(input),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: serializer(output),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}

function serializer<T extends DescMessage>(
  schema: T,
): (message: Outgoing<T>) => Buffer {
  return (message) => {
    const bytes =
      message instanceof Uint8Array
        ? message
        : toBinary(schema, create(schema, message));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function keepaliveOptions({
  timeMs,
  timeoutMs,
}: Keepalive): grpc.ChannelOptions {
  return {
    "grpc.keepalive_time_ms": timeMs,
    "grpc.keepalive_timeout_ms": timeoutMs,
  };
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new GrpcError(grpc.status.CANCELLED, "the stream is gone");
}
