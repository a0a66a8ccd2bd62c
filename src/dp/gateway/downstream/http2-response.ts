import { EventEmitter } from "node:events";
import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { DownstreamResponse } from "./message.ts";
import { toHttp2Headers } from "../http2/raw-headers.ts";

/**
 * The answer to a request that came by HTTP/2. Its head waits for what follows: one that nothing follows ends the stream
 * itself, which is how gRPC tells a call that failed at once.
 */
export class Http2Response extends EventEmitter implements DownstreamResponse {
  /** Says nothing here: a connection of HTTP/2 serves on anyway. */
  shouldKeepAlive = true;
  readonly #stream: ServerHttp2Stream;
  readonly #isHead: boolean;
  /** Set, and then undefined again when it has been sent. */
  #head: OutgoingHttpHeaders | undefined;
  #headersSent = false;
  #trailers: OutgoingHttpHeaders = {};

  /** @param isHead Whether the request is a HEAD, whose answer has no body whatever its headers say. */
  constructor(stream: ServerHttp2Stream, isHead: boolean) {
    super();
    this.#stream = stream;
    this.#isHead = isHead;
    stream.on("drain", () => this.emit("drain"));
    stream.once("close", () => this.emit("close"));
  }

  get headersSent(): boolean {
    return this.#headersSent;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed || this.#stream.aborted;
  }

  get closed(): boolean {
    return this.#stream.closed;
  }

  writeContinue(): void {
    if (this.#isOpen && !this.#headersSent)
      this.#stream.additionalHeaders({ ":status": 100 });
  }

  writeHead(status: number, _reason: string, rawHeaders: string[]): void {
    // Thrown here, as by node's ServerResponse: what is sent later must not fail any more.
    if (!Number.isInteger(status) || status < 200 || status > 599)
      throw new RangeError(`${status} is not the status of an answer`);
    const head = toHttp2Headers(rawHeaders);
    head[":status"] = status;
    this.#head = head;
    this.#headersSent = true;
  }

  flushHeaders(): void {
    this.#sendHead(false);
  }

  write(chunk: Buffer): boolean {
    this.#sendHead(false);
    if (!this.#isOpen || this.#isHead) return true;
    return this.#stream.write(chunk);
  }

  addTrailers(pairs: readonly [name: string, value: string][]): void {
    this.#trailers = toHttp2Headers(pairs.flat());
  }

  end(body?: Buffer): void {
    const empty = body === undefined || body.length === 0;
    const bare =
      this.#isHead || (empty && Object.keys(this.#trailers).length === 0);
    if (bare) {
      // Not while what came is still being read: Node 22.23 then ends the stream and drops the head.
      setImmediate(() => {
        this.#sendHead(true);
        if (this.#isOpen && !this.#stream.writableEnded) this.#stream.end();
      });
      return;
    }
    this.#sendHead(false);
    if (!this.#isOpen || this.#stream.writableEnded) return;
    if (empty) this.#stream.end();
    else this.#stream.end(body);
  }

  destroy(): void {
    // Not `close`: that would first end what is under way as if it were whole.
    this.#stream.destroy(new Error("the answer broke off"));
  }

  get #isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  #sendHead(endStream: boolean): void {
    const head = this.#head;
    if (head === undefined) return;
    this.#head = undefined;
    if (!this.#isOpen) return;
    // Trailers follow a body of unknown length only; waiting for them costs a frame.
    const waitForTrailers =
      !endStream &&
      (head["content-length"] === undefined || head.trailer !== undefined);
    if (waitForTrailers)
      this.#stream.once("wantTrailers", () => {
        if (this.#isOpen) this.#stream.sendTrailers(this.#trailers);
      });
    try {
      this.#stream.respond(head, { endStream, waitForTrailers });
    } catch {
      // Nobody else would hear of it: the head may be sent from a timer or for a socket.
      this.destroy();
    }
  }
}
