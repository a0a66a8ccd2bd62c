import type { ReadMessage } from "../downstream/message.ts";

/** A request on its way to an upstream, by whichever version of HTTP. node's ClientRequest is one. */
export interface SentRequest {
  /** Whether all of it has left. */
  readonly writableFinished: boolean;
  /** False when the upstream is slower than this: "drain" tells when it has caught up. */
  write(chunk: Buffer): boolean;
  /** What follows the body; before `end`. */
  addTrailers(pairs: readonly [name: string, value: string][]): void;
  end(body?: Buffer): unknown;
  /** Gives up: with HTTP/1.1 that ends the connection, with HTTP/2 the stream. */
  destroy(error?: Error): unknown;
  on(event: "drain" | "finish", listener: () => void): this;
  once(event: "drain" | "finish", listener: () => void): this;
  off(event: "drain" | "finish", listener: () => void): this;
}

/** An upstream's answer, by whichever version of HTTP. */
export interface UpstreamResponse extends ReadMessage {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
  /** The whole body when all of it is here and there are no trailers: then it need not be listened for. */
  takeWhole?(): Buffer | undefined;
}
