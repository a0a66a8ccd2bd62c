import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from "node:http2";
import { ConnectRequestSchema } from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { formatHostPort, type HostPort } from "../../src/runtime/host-port.ts";

type Request = NonNullable<
  MessageInitShape<typeof ConnectRequestSchema>["message"]
>;

/** A node that talks and never reads a byte of what it is told: its window stays as full as the control plane makes it. */
export class DeafNode implements Disposable {
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  /** Whether the connection is over. */
  closed = false;

  constructor(address: HostPort) {
    this.#session = http2.connect(`http://${formatHostPort(address)}`);
    this.#session.on("error", () => undefined);
    this.#session.on("close", () => {
      this.closed = true;
    });
    this.#stream = this.#session.request({
      ":method": "POST",
      ":path": "/holdfast.sync.v1.SyncService/Connect",
      "content-type": "application/grpc",
      te: "trailers",
    });
    this.#stream.on("error", () => undefined);
    this.#stream.pause();
  }

  greet(id: string): this {
    return this.send({
      case: "hello",
      value: {
        node: { id, boot: id, build: "b", hostname: id },
        features: [{ name: "kind/service", version: 1 }],
      },
    }).send({ case: "snapshotRequest", value: {} });
  }

  send(message: Request): this {
    void this.write(frameOf(message));
    return this;
  }

  /** Writes bytes as they are; resolves when they have left. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.write(bytes, () => {
        resolve();
      });
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** A message as gRPC frames it. */
export function frameOf(message: Request): Buffer {
  const bytes = toBinary(
    ConnectRequestSchema,
    create(ConnectRequestSchema, { message }),
  );
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, 5);
  return frame;
}
