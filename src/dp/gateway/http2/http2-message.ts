import { EventEmitter } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import type { Http2Stream } from "node:http2";
import type { ReadMessage } from "../downstream/message.ts";
import { withoutPseudoHeaders } from "./raw-headers.ts";

/**
 * A message that comes by HTTP/2. Unlike its stream it does not "end" when the other side breaks off: what has come of a
 * body would look like all of it.
 */
export class Http2Message extends EventEmitter implements ReadMessage {
  readonly httpVersion = "2";
  readonly rawHeaders: string[];
  readonly headers: IncomingHttpHeaders;
  rawTrailers: string[] = [];
  readonly #stream: Http2Stream;
  #complete: boolean;
  #closed = false;

  /** @param bodiless Whether the head is all there is. */
  constructor(
    stream: Http2Stream,
    head: {
      readonly headers: IncomingHttpHeaders;
      readonly rawHeaders: string[];
    },
    bodiless: boolean,
  ) {
    super();
    this.#stream = stream;
    this.headers = head.headers;
    this.rawHeaders = head.rawHeaders;
    this.#complete = bodiless;
    stream.on("trailers", (_trailers, _flags, raw?: string[]) => {
      this.rawTrailers = withoutPseudoHeaders(raw ?? []);
    });
    stream.once("end", () => {
      if (stream.aborted || stream.rstCode !== 0) return;
      this.#complete = true;
      this.emit("end");
    });
    stream.once("close", () => {
      this.#closed = true;
      this.emit("close");
    });
    stream.on("error", (error) => {
      if (this.listenerCount("error") > 0) this.emit("error", error);
    });
  }

  get complete(): boolean {
    return this.#complete;
  }

  get readableEnded(): boolean {
    return this.#complete && this.#stream.readableEnded;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  override on(event: "data", listener: (chunk: Buffer) => void): this;
  override on(event: "end" | "close", listener: () => void): this;
  override on(event: "error", listener: (error: Error) => void): this;
  override on(event: string, listener: Listener): this {
    // Chunks go straight to who wants them.
    if (event === "data") this.#stream.on(event, listener);
    else super.on(event, listener);
    // Who comes late would wait for ever.
    if (event === "close" && this.#closed)
      queueMicrotask(() => {
        (listener as () => void).call(this);
      });
    return this;
  }

  override off(event: "data", listener: (chunk: Buffer) => void): this;
  override off(event: "end" | "close", listener: () => void): this;
  override off(event: string, listener: Listener): this {
    if (event === "data") this.#stream.off(event, listener);
    else super.off(event, listener);
    return this;
  }

  pause(): this {
    this.#stream.pause();
    return this;
  }

  resume(): this {
    this.#stream.resume();
    return this;
  }

  destroy(): this {
    // Not `close`: that would first end what is under way the other way as if it were whole.
    this.#stream.destroy(new Error("nobody wants the rest"));
    return this;
  }
}

type Listener =
  (() => void) | ((chunk: Buffer) => void) | ((error: Error) => void);
