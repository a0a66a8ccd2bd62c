import * as grpc from "@grpc/grpc-js";
import { nowNs } from "./acks.ts";
import { clientCredentials, serverCredentials, type KeyPair } from "./tls.ts";
import { untilOpen, type Closable } from "./until-open.ts";

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
const ANSWER_MS = 120_000;

type ServerCall = grpc.ServerDuplexStream<Buffer, Buffer>;

/** One message to all streams. Nanoseconds of the machine's monotonic clock. */
export interface SentToAll {
  readonly sentNs: number;
  /** When the answer of each was there, in their order. */
  readonly answersNs: Float64Array;
}

/** Sends the same bytes to all streams and waits until each has answered. */
export class BareServer implements Disposable {
  readonly port: number;
  readonly #server: grpc.Server;
  readonly #calls = new Set<ServerCall>();
  #answered: (() => void) | undefined;

  private constructor(server: grpc.Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async listen(pair?: KeyPair): Promise<BareServer> {
    const server = new grpc.Server();
    const calls: ServerCall[] = [];
    let take = (call: ServerCall): void => {
      calls.push(call);
    };
    server.addService(DEFINITION, {
      connect: (call: ServerCall) => {
        take(call);
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(
        "127.0.0.1:0",
        pair === undefined
          ? grpc.ServerCredentials.createInsecure()
          : serverCredentials(pair),
        (error, bound) => {
          if (error === null) resolve(bound);
          else reject(error);
        },
      );
    });
    const bare = new BareServer(server, port);
    take = (call) => {
      bare.#take(call);
    };
    for (const call of calls) take(call);
    return bare;
  }

  /** How many streams are open. */
  get streams(): number {
    return this.#calls.size;
  }

  /** Sends, and resolves when the last answer is there. */
  async send(bytes: Buffer): Promise<SentToAll> {
    const answersNs = new Float64Array(this.#calls.size);
    let count = 0;
    const answered = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${answersNs.length - count} streams did not answer`));
      }, ANSWER_MS);
      this.#answered = () => {
        answersNs[count++] = nowNs();
        if (count < answersNs.length) return;
        clearTimeout(timer);
        this.#answered = undefined;
        resolve();
      };
    });
    const sentNs = nowNs();
    for (const call of this.#calls) call.write(bytes);
    await answered;
    return { sentNs, answersNs };
  }

  [Symbol.dispose](): void {
    this.#server.forceShutdown();
  }

  #take(call: ServerCall): void {
    this.#calls.add(call);
    // Tells the client that the stream is open.
    call.sendMetadata(new grpc.Metadata());
    call.on("data", () => this.#answered?.());
    const gone = (): void => {
      this.#calls.delete(call);
    };
    call.on("cancelled", gone);
    call.on("error", gone);
    call.on("end", () => {
      call.end();
    });
  }
}

/** Options of a client that has a connection of its own. */
export const OWN_CONNECTION: grpc.ClientOptions = {
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  // A name for TLS must not be an address.
  "grpc.ssl_target_name_override": "localhost",
};

/** Opens a stream on a connection of its own; `onOpen` is called when the server has it. */
export function openBareStream(
  port: number,
  onMessage: () => void,
  pair?: KeyPair,
  onOpen: () => void = () => undefined,
): Closable {
  return untilOpen((opened, ended) => {
    const client = new grpc.Client(
      `127.0.0.1:${port}`,
      pair === undefined
        ? grpc.credentials.createInsecure()
        : clientCredentials(pair),
      OWN_CONNECTION,
    );
    const call = client.makeBidiStreamRequest(PATH, same, same);
    call.on("error", ended);
    call.once("metadata", () => {
      opened();
      onOpen();
    });
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
  });
}
