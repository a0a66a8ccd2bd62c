import {
  Client,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ChannelCredentials,
  type ClientOptions,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
} from "@grpc/grpc-js";
import { SERVER_CERT, SERVER_KEY } from "./tls-chain.ts";

const text = (value: string): Buffer => Buffer.from(value, "utf8");
const read = (bytes: Buffer): string => bytes.toString("utf8");

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return {
    path: `/test.Words/${name}`,
    requestStream,
    responseStream,
    requestSerialize: text,
    requestDeserialize: read,
    responseSerialize: text,
    responseDeserialize: read,
  };
}

const WORDS = {
  say: method("Say", false, false),
  count: method("Count", false, true),
  join: method("Join", true, false),
  chat: method("Chat", true, true),
};

/** A gRPC server on a port of its own, whose calls take and give words. */
export class GrpcUpstream implements AsyncDisposable {
  readonly port: number;
  /** What the calls were told besides words, in their order. */
  readonly metadata: Metadata[] = [];
  /** Calls that their client gave up. */
  cancelled = 0;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(
    credentials = ServerCredentials.createInsecure(),
  ): Promise<GrpcUpstream> {
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    const upstream = new GrpcUpstream(server, port);
    server.addService(WORDS, upstream.#words());
    return upstream;
  }

  /** One that speaks TLS only, as pay.example. */
  static startSecure(): Promise<GrpcUpstream> {
    return GrpcUpstream.start(
      ServerCredentials.createSsl(null, [
        { cert_chain: text(SERVER_CERT), private_key: text(SERVER_KEY) },
      ]),
    );
  }

  /** Tells who is connected to take calls elsewhere; those under way may end. New connections are taken. */
  drain(): void {
    this.#server.drain(`127.0.0.1:${this.port}`, 60_000);
  }

  /** Cuts who is connected. New connections are taken. */
  cut(): void {
    this.#server.drain(`127.0.0.1:${this.port}`, 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    return Promise.resolve();
  }

  #words() {
    const say: handleUnaryCall<string, string> = (call, done) => {
      this.metadata.push(call.metadata);
      call.on("cancelled", () => this.cancelled++);
      const { request } = call;
      const trailer = new Metadata();
      trailer.set("x-trailer", "told at the end");
      if (request === "fail")
        done({ code: status.FAILED_PRECONDITION, details: "not today, ü" });
      else if (request !== "never") {
        const initial = new Metadata();
        initial.set("x-initial", "told at once");
        call.sendMetadata(initial);
        done(null, `said ${request}`, trailer);
      }
    };
    const count: handleServerStreamingCall<string, string> = (call) => {
      call.on("cancelled", () => this.cancelled++);
      const words = call.request.split(" ");
      for (const word of words) call.write(word);
      if (words.at(-1) !== "forever") call.end();
    };
    const join: handleClientStreamingCall<string, string> = (call, done) => {
      const words: string[] = [];
      call.on("data", (word: string) => {
        words.push(word);
      });
      call.on("end", () => {
        done(null, words.join(" "));
      });
    };
    const chat: handleBidiStreamingCall<string, string> = (call) => {
      call.on("cancelled", () => this.cancelled++);
      // The head of the answer comes before the first word.
      call.sendMetadata(new Metadata());
      call.on("data", (word: string) => {
        call.write(word.toUpperCase());
      });
      call.on("end", () => {
        call.end();
      });
      call.on("error", () => undefined);
    };
    return { say, count, join, chat };
  }
}

/** A client of those words. */
export class Words extends Client implements Disposable {
  constructor(
    address: string,
    credentials: ChannelCredentials,
    options: ClientOptions = {},
  ) {
    super(address, credentials, options);
  }

  say(
    word: string,
    metadata = new Metadata(),
    options: { readonly deadline?: number } = {},
  ): Promise<{
    readonly word: string;
    readonly initial: Metadata;
    readonly trailers: Metadata;
  }> {
    return new Promise((resolve, reject) => {
      let initial = new Metadata();
      let trailers = new Metadata();
      let word_ = "";
      const call = this.makeUnaryRequest(
        WORDS.say.path,
        text,
        read,
        word,
        metadata,
        options,
        (error, answer = "") => {
          if (error === null) word_ = answer;
          else reject(error);
        },
      );
      call.on("metadata", (got) => (initial = got));
      call.on("status", (got) => {
        trailers = got.metadata;
        if (got.code === status.OK)
          setImmediate(() => {
            resolve({ word: word_, initial, trailers });
          });
      });
    });
  }

  count(words: string) {
    return this.makeServerStreamRequest(WORDS.count.path, text, read, words);
  }

  join(words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = this.makeClientStreamRequest(
        WORDS.join.path,
        text,
        read,
        (error, answer = "") => {
          if (error === null) resolve(answer);
          else reject(error);
        },
      );
      for (const word of words) call.write(word);
      call.end();
    });
  }

  chat() {
    return this.makeBidiStreamRequest(WORDS.chat.path, text, read);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
