import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  type HelloSchema,
  SyncService,
  type ConnectRequest,
  type ConnectResponse,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import {
  bindBidi,
  GrpcServer,
  messagesOf,
  sendMessage,
  type BidiClientCall,
  type BidiServerCall,
} from "../../src/runtime/grpc.ts";
import { GrpcClient } from "../../src/runtime/grpc-client.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { eventually } from "./eventually.ts";

type Method = (typeof SyncService)["method"]["connect"];
type Response = NonNullable<
  MessageInitShape<typeof ConnectResponseSchema>["message"]
>;
type Request = NonNullable<
  MessageInitShape<typeof ConnectRequestSchema>["message"]
>;

/** What is in a message of a type. */
type Content<Message, Case> = Message extends {
  readonly case: Case;
  readonly value: infer Value;
}
  ? Value
  : never;

/** A stream of a node, as a control plane that follows no rules has it. */
export class NodeStream {
  readonly received: ConnectRequest[] = [];
  /** Aborted when the stream is gone. */
  readonly gone: AbortSignal;
  readonly #call: BidiServerCall<Method>;

  constructor(call: BidiServerCall<Method>, gone: AbortSignal) {
    this.#call = call;
    this.gone = gone;
  }

  async read(): Promise<void> {
    for await (const message of messagesOf(this.#call))
      this.received.push(message);
  }

  /** Sends a message, or bytes that claim to be one. */
  async send(message: Response | Uint8Array): Promise<void> {
    const whole =
      message instanceof Uint8Array
        ? message
        : create(ConnectResponseSchema, { message });
    await sendMessage(this.#call, whole, this.gone).catch(() => undefined);
  }

  /** Waits for the n-th message of a type, from 1. */
  async heard<C extends NonNullable<ConnectRequest["message"]["case"]>>(
    type: C,
    count = 1,
  ): Promise<Content<ConnectRequest["message"], C>> {
    const { value } = await eventually(
      () =>
        this.received
          .map(({ message }) => message)
          .filter(({ case: name }) => name === type)[count - 1],
      `${type} ${count} of the node`,
    );
    return value as Content<ConnectRequest["message"], C>;
  }
}

/** A control plane that does only what a test tells it to. */
export class PuppetControlPlane implements AsyncDisposable {
  readonly address: HostPort;
  readonly streams: NodeStream[];
  readonly #server: GrpcServer;
  readonly #stop: AbortController;

  private constructor(
    server: GrpcServer,
    streams: NodeStream[],
    stop: AbortController,
  ) {
    this.#server = server;
    this.address = server.address;
    this.streams = streams;
    this.#stop = stop;
  }

  static async start(
    options: { readonly reads?: boolean } = {},
  ): Promise<PuppetControlPlane> {
    const streams: NodeStream[] = [];
    const stop = new AbortController();
    const service = bindBidi(SyncService, {
      connect: async (call, gone) => {
        const stream = new NodeStream(call, gone);
        streams.push(stream);
        const ended = new Promise<void>((resolve) => {
          for (const signal of [gone, stop.signal])
            signal.addEventListener("abort", () => {
              resolve();
            });
        });
        const read =
          options.reads === false
            ? ended
            : stream.read().catch(() => undefined);
        await Promise.race([read, ended]);
      },
    });
    const server = await GrpcServer.listen(
      { host: "127.0.0.1", port: 0 },
      [service],
      { onFailure: () => undefined },
    );
    return new PuppetControlPlane(server, streams, stop);
  }

  /** The n-th stream, from 1, once its node has greeted. */
  async greeted(n: number): Promise<NodeStream> {
    const stream = await eventually(
      () => this.streams[n - 1],
      `stream ${n} of the node`,
    );
    await stream.heard("snapshotRequest");
    return stream;
  }

  /** The same, with Welcome said. */
  async welcomed(n: number): Promise<NodeStream> {
    const stream = await this.greeted(n);
    await stream.send({ case: "welcome", value: { session: `s${n}` } });
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#server.close(0);
  }
}

/** A node that does only what a test tells it to. */
export class PuppetNode implements Disposable {
  readonly received: ConnectResponse[] = [];
  /** Why the stream ended; undefined while it has not. */
  ended: string | undefined;
  readonly #client: GrpcClient;
  readonly #call: BidiClientCall<Method>;
  readonly #abort = new AbortController();
  #sending: Promise<void> = Promise.resolve();

  constructor(address: HostPort) {
    this.#client = new GrpcClient(address);
    const call = this.#client.bidi(
      SyncService.method.connect,
      this.#abort.signal,
    );
    this.#call = call;
    call.on("error", () => undefined);
    call.on("status", ({ code }) => {
      this.ended = String(code);
    });
    const read = async (): Promise<void> => {
      for await (const message of messagesOf(call)) this.received.push(message);
    };
    read().catch(() => undefined);
  }

  /** Hands a message over, or bytes that claim to be one, and does not wait for it to leave. */
  send(message: Request | Uint8Array): this {
    const whole =
      message instanceof Uint8Array
        ? message
        : create(ConnectRequestSchema, { message });
    this.#sending = this.#sending
      .then(() => sendMessage(this.#call, whole, this.#abort.signal))
      .catch(() => undefined);
    return this;
  }

  greet(
    id: string,
    rest: Pick<
      MessageInitShape<typeof HelloSchema>,
      "have" | "refused" | "workspace"
    > = {},
  ): this {
    return this.send({
      case: "hello",
      value: {
        node: { id, boot: id, build: "b", hostname: id },
        features: [{ name: "kind/service", version: 1 }],
        ...rest,
      },
    }).send({ case: "snapshotRequest", value: {} });
  }

  /** Waits for the n-th message of a type, from 1. */
  async heard<C extends NonNullable<ConnectResponse["message"]["case"]>>(
    type: C,
    count = 1,
  ): Promise<Content<ConnectResponse["message"], C>> {
    const { message } = await eventually(
      () =>
        this.received.filter(({ message: { case: name } }) => name === type)[
          count - 1
        ],
      `${type} ${count} of the control plane`,
    );
    return message.value as Content<ConnectResponse["message"], C>;
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    this.#client.close();
  }
}
