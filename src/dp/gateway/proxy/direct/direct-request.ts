import type { Socket } from "node:net";
import type { ForwardHead } from "../forward.ts";
import type { SentRequest } from "../messages.ts";
import { FewListeners } from "./few-listeners.ts";

/** What a request needs of its connection. */
export interface RequestConnection {
  readonly socket: Socket;
  /** All of the request has left. */
  onSent(): void;
  /** Closes it if it still serves this request. */
  abort(by: DirectRequest, error?: Error): void;
}

/** A request as bytes on a connection. Its head leaves with the first of its body, or with its end. */
export class DirectRequest extends FewListeners implements SentRequest {
  writableFinished = false;
  readonly #connection: RequestConnection;
  readonly #chunked: boolean;
  /** Undefined when it has left. */
  #head: string | undefined;
  #trailers: readonly [name: string, value: string][] = [];

  constructor(head: ForwardHead, connection: RequestConnection) {
    super();
    this.#connection = connection;
    this.#head = headText(head);
    this.#chunked = head.framing?.[0] === "Transfer-Encoding";
  }

  write(chunk: Buffer): boolean {
    const { socket } = this.#connection;
    // A chunk without bytes would be the last one.
    if (chunk.length === 0) return !socket.writableNeedDrain;
    socket.cork();
    this.#writeHead(this.#chunked ? `${chunk.length.toString(16)}\r\n` : "");
    const ready = socket.write(chunk);
    if (this.#chunked) socket.write("\r\n", "latin1");
    socket.uncork();
    return ready;
  }

  addTrailers(pairs: readonly [name: string, value: string][]): void {
    this.#trailers = pairs;
  }

  end(body?: Buffer): void {
    const { socket } = this.#connection;
    if (body !== undefined && body.length > 0) {
      socket.cork();
      this.write(body);
      this.#finish();
      socket.uncork();
    } else this.#finish();
  }

  destroy(error?: Error): void {
    this.#connection.abort(this, error);
  }

  #writeHead(more: string): void {
    const text = (this.#head ?? "") + more;
    this.#head = undefined;
    if (text !== "") this.#connection.socket.write(text, "latin1");
  }

  #finish(): void {
    const { socket } = this.#connection;
    let text = this.#head ?? "";
    this.#head = undefined;
    if (this.#chunked) {
      text += "0\r\n";
      for (const [name, value] of this.#trailers)
        text += `${name}: ${value}\r\n`;
      text += "\r\n";
    }
    if (text !== "" || socket.writableLength > 0)
      socket.write(text, "latin1", this.#onSent);
    else process.nextTick(this.#onSent);
  }

  readonly #onSent = (error?: Error | null): void => {
    // What broke is told by the connection.
    if (error !== undefined && error !== null) return;
    this.writableFinished = true;
    this.emit("finish");
    this.#connection.onSent();
  };
}

/** Characters that a request's target cannot have. */
const NOT_IN_TARGET = /[^\x21-\xff]/;

function headText({ method, path, headers, framing }: ForwardHead): string {
  if (NOT_IN_TARGET.test(path))
    throw new TypeError("the path has characters that cannot be sent");
  let text = `${method} ${path} HTTP/1.1\r\n`;
  text += headers.toText();
  if (framing !== undefined) text += `${framing[0]}: ${framing[1]}\r\n`;
  return `${text}Connection: keep-alive\r\n\r\n`;
}
