import type { IncomingHttpHeaders } from "node:http";
import type { UpstreamResponse } from "../messages.ts";
import { FewListeners } from "./few-listeners.ts";
import type { ParsedHead } from "./response-head.ts";

/** What an answer needs of its connection. */
export interface ResponseConnection {
  pause(): void;
  resume(): void;
  /** Closes it if this answer still comes over it. */
  abort(by: DirectResponse, error?: Error): void;
}

const NOTHING: readonly Buffer[] = [];

/** What may wait for whoever reads it before the upstream is told to wait. */
const HIGH_WATER_BYTES = 64 * 1024;

/** An answer that comes over a connection. What has come waits until somebody listens. */
export class DirectResponse extends FewListeners implements UpstreamResponse {
  readonly httpVersion: string;
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly rawHeaders: string[];
  rawTrailers: string[] = [];
  complete = false;
  readableEnded = false;
  destroyed = false;
  readonly #connection: ResponseConnection;
  #headers: IncomingHttpHeaders | undefined;
  #chunks: Buffer[] | undefined;
  #bytes = 0;
  #flowing = false;
  /** Why the rest will never come. */
  #broken: Error | undefined;

  constructor(head: ParsedHead, connection: ResponseConnection) {
    super();
    this.httpVersion = head.httpVersion;
    this.statusCode = head.status;
    this.statusMessage = head.reason;
    this.rawHeaders = head.rawHeaders;
    this.#connection = connection;
  }

  get headers(): IncomingHttpHeaders {
    this.#headers ??= headersOf(this.rawHeaders);
    return this.#headers;
  }

  override on(event: string, listener: (argument: never) => void): this {
    super.on(event, listener);
    // As node's streams do it: who listens gets it, once all who begin to listen together do.
    if (event === "data")
      queueMicrotask(() => {
        this.resume();
      });
    return this;
  }

  /** The whole body when all of it is here and nobody has begun to listen: then it need not be listened for. */
  takeWhole(): Buffer | undefined {
    if (!this.complete || this.#flowing || this.rawTrailers.length > 0)
      return undefined;
    const chunks = this.#chunks ?? NOTHING;
    const [first] = chunks;
    const whole =
      chunks.length === 1 && first !== undefined
        ? first
        : Buffer.concat(chunks);
    this.#chunks = undefined;
    this.readableEnded = true;
    return whole;
  }

  pause(): this {
    if (!this.#flowing) return this;
    this.#flowing = false;
    if (!this.complete) this.#connection.pause();
    return this;
  }

  resume(): this {
    if (this.#flowing || this.readableEnded) return this;
    this.#flowing = true;
    // Whoever listens may pause in the middle of it.
    while (this.#isFlowing()) {
      const chunk = this.#chunks?.shift();
      if (chunk === undefined) break;
      this.#bytes -= chunk.length;
      this.emit("data", chunk);
    }
    if (!this.#isFlowing()) return this;
    if (this.complete) this.#emitEnd();
    else if (this.#broken !== undefined) this.#emitBroken(this.#broken);
    else this.#connection.resume();
    return this;
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    if (this.complete) {
      this.destroyed = true;
      this.#chunks = undefined;
    } else this.#connection.abort(this, error);
    return this;
  }

  /** More of the body has come. */
  push(chunk: Buffer): void {
    if (this.#flowing) {
      this.emit("data", chunk);
      return;
    }
    if (this.#chunks === undefined) this.#chunks = [chunk];
    else this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > HIGH_WATER_BYTES) this.#connection.pause();
  }

  /** The whole body has come. */
  finish(trailers: string[]): void {
    this.rawTrailers = trailers;
    this.complete = true;
    if (this.#flowing) this.#emitEnd();
  }

  /** The rest will not come. */
  breakOff(error: Error): void {
    if (this.complete || this.destroyed) return;
    this.destroyed = true;
    this.#broken = error;
    // Else when somebody listens, after what has come before.
    if (this.#flowing) this.#emitBroken(error);
  }

  /** Not what it was before a listener was called. */
  #isFlowing(): boolean {
    return this.#flowing;
  }

  #emitEnd(): void {
    this.readableEnded = true;
    this.emit("end");
    this.emit("close");
  }

  #emitBroken(error: Error): void {
    this.readableEnded = true;
    this.emit("error", error);
    this.emit("close");
  }
}

/** As node makes them of a raw list, for those that want to look one up. */
function headersOf(raw: readonly string[]): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? "";
    const value = raw[i + 1] ?? "";
    const before = headers[name];
    if (name === "set-cookie")
      headers[name] = [...(headers["set-cookie"] ?? []), value];
    else
      headers[name] =
        typeof before === "string" ? `${before}, ${value}` : value;
  }
  return headers;
}
