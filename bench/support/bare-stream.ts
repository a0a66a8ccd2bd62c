import * as grpc from "@grpc/grpc-js";

/** The peer to compare with: bidirectional streams of grpc-js and nothing else. */
const PATH = "/holdfast.bench.Bare/Connect";
const same = (bytes: Buffer): Buffer => bytes;
const DEFINITION = {
  connect: {
    path: PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
};

/** What each message is answered with: about what an Ack weighs. */
const ANSWER = Buffer.alloc(64, 1);
/** No wait for answers takes longer. */
const ANSWER_MS = 30_000;

type ServerCall = grpc.ServerDuplexStream<Buffer, Buffer>;

/** Sends the same bytes to all streams and waits until each has answered. */
export class BareServer {
  readonly port: number;
  readonly #calls: Set<ServerCall>;
  readonly #answers: { left: number; done: () => void };

  private constructor(
    port: number,
    calls: Set<ServerCall>,
    answers: { left: number; done: () => void },
  ) {
    this.port = port;
    this.#calls = calls;
    this.#answers = answers;
  }

  static async listen(): Promise<BareServer> {
    const calls = new Set<ServerCall>();
    const answers = { left: 0, done: (): void => undefined };
    const server = new grpc.Server();
    server.addService(DEFINITION, {
      connect: (call: ServerCall) => {
        calls.add(call);
        call.on("data", () => {
          if (--answers.left === 0) answers.done();
        });
        const gone = (): void => {
          calls.delete(call);
        };
        call.on("cancelled", gone);
        call.on("error", gone);
        call.on("end", () => {
          call.end();
        });
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(
        "127.0.0.1:0",
        grpc.ServerCredentials.createInsecure(),
        (error, bound) => {
          if (error === null) resolve(bound);
          else reject(error);
        },
      );
    });
    return new BareServer(port, calls, answers);
  }

  /** How many streams are open. */
  get streams(): number {
    return this.#calls.size;
  }

  /** Sends, and resolves with when it began and when the last answer was there, in nanoseconds. */
  async send(
    bytes: Buffer,
  ): Promise<{ readonly sentNs: bigint; readonly answeredNs: bigint }> {
    this.#answers.left = this.#calls.size;
    const answered = new Promise<bigint>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${this.#answers.left} streams did not answer`));
      }, ANSWER_MS);
      this.#answers.done = () => {
        clearTimeout(timer);
        resolve(process.hrtime.bigint());
      };
    });
    const sentNs = process.hrtime.bigint();
    for (const call of this.#calls) call.write(bytes);
    return { sentNs, answeredNs: await answered };
  }
}

/** Opens a stream on a connection of its own. */
export function openBareStream(
  port: number,
  onMessage: () => void,
): { close: () => void } {
  const client = new grpc.Client(
    `127.0.0.1:${port}`,
    grpc.credentials.createInsecure(),
    {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0,
    },
  );
  const call = client.makeBidiStreamRequest(PATH, same, same);
  call.on("error", () => undefined);
  call.on("data", () => {
    onMessage();
    call.write(ANSWER);
  });
  return {
    close: () => {
      call.cancel();
      client.close();
    },
  };
}
