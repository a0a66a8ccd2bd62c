import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server } from "node:net";

/** What went over a connection, in both directions together. */
export interface Tapped {
  /** Contents of HTTP/2's DATA frames: the messages, each with the five bytes that gRPC puts in front. */
  readonly messages: number;
  /** Everything that HTTP/2 makes of it. */
  readonly all: number;
}

/** HTTP/2: what a client says first, and the bytes before each frame's content. */
const PREFACE_BYTES = 24;
const HEADER_BYTES = 9;
const DATA = 0;

/** Stands between a node and a control plane that speak in clear text, and counts what they say. */
export class Tap implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #counters: Counter[];

  private constructor(server: Server, counters: Counter[], port: number) {
    this.#server = server;
    this.#counters = counters;
    this.port = port;
  }

  static async listen(targetPort: number): Promise<Tap> {
    const counters: Counter[] = [];
    const server = createServer((near) => {
      const far = connect(targetPort, "127.0.0.1");
      const up = new Counter(PREFACE_BYTES);
      const down = new Counter(0);
      counters.push(up, down);
      near.on("data", (bytes: Buffer) => {
        up.count(bytes);
      });
      far.on("data", (bytes: Buffer) => {
        down.count(bytes);
      });
      near.pipe(far).pipe(near);
      near.on("error", () => far.destroy());
      far.on("error", () => near.destroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return new Tap(server, counters, port);
  }

  /** What was said since the last call. */
  take(): Tapped {
    const taken = { messages: 0, all: 0 };
    for (const counter of this.#counters) {
      taken.messages += counter.messages;
      taken.all += counter.all;
      counter.messages = 0;
      counter.all = 0;
    }
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Follows the frames of one direction. */
class Counter {
  messages = 0;
  all = 0;
  #skip: number;
  #type = -1;
  #header: number[] = [];

  constructor(skip: number) {
    this.#skip = skip;
  }

  count(bytes: Buffer): void {
    this.all += bytes.length;
    for (let at = 0; at < bytes.length;) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, bytes.length - at);
        if (this.#type === DATA) this.messages += step;
        this.#skip -= step;
        at += step;
        continue;
      }
      this.#header.push(bytes[at++] ?? 0);
      if (this.#header.length < HEADER_BYTES) continue;
      const [a = 0, b = 0, c = 0, type = -1] = this.#header;
      this.#skip = (a << 16) | (b << 8) | c;
      this.#type = type;
      this.#header = [];
    }
  }
}
