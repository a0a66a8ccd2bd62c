import type { Socket } from "node:net";
import { exchangeFailure } from "../failure.ts";
import {
  isIdempotent,
  type Answered,
  type ForwardHead,
  type UpstreamCall,
} from "../forward.ts";
import { DirectRequest, type RequestConnection } from "./direct-request.ts";
import { DirectResponse, type ResponseConnection } from "./direct-response.ts";
import { BadResponse, type ParsedHead } from "./response-head.ts";
import { ResponseParser, type ResponseListener } from "./response-parser.ts";

/** Who keeps a connection between two requests. */
export interface ConnectionOwner {
  /** It serves no request any more, and may serve another. */
  free(connection: DirectConnection): void;
  /** It is closed; told once. */
  gone(connection: DirectConnection): void;
}

/** How a connection is made. */
export interface ConnectionOptions {
  readonly name: string;
  readonly owner: ConnectionOwner;
  /** The event that says that it is connected. */
  readonly readyOn: "connect" | "secureConnect";
  /** Told once: that it is connected, or why it is not. */
  readonly onReady: (error: Error | undefined) => void;
}

/** A request that a connection serves. */
class Call implements UpstreamCall {
  readonly method: string;
  readonly request: DirectRequest;
  readonly answered: Promise<Answered>;
  /** Whether the connection had served another request before. */
  readonly reused: boolean;
  response: DirectResponse | undefined;
  /** Settles `answered`. */
  settle!: (answered: Answered) => void;

  constructor(
    head: ForwardHead,
    connection: RequestConnection,
    reused: boolean,
  ) {
    this.method = head.method;
    this.request = new DirectRequest(head, connection);
    this.reused = reused;
    this.answered = new Promise((resolve) => {
      this.settle = resolve;
    });
  }
}

/** A connection to an upstream, which serves one request at a time. */
export class DirectConnection
  implements RequestConnection, ResponseConnection, ResponseListener
{
  readonly socket: Socket;
  /** Connections with the same name lead to the same place in the same way. */
  readonly name: string;
  /** Seconds that it may be idle, as far as the upstream said. */
  keepSeconds = Infinity;
  /** Requests that it has served. */
  uses = 0;
  readonly #owner: ConnectionOwner;
  readonly #parser = new ResponseParser(this);
  #call: Call | undefined;
  #paused = false;
  #closed = false;
  #onReady: ((error: Error | undefined) => void) | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.socket = socket;
    this.name = options.name;
    this.#owner = options.owner;
    this.#onReady = options.onReady;
    socket.once(options.readyOn, () => {
      this.#ready(undefined);
    });
    socket.on("data", (chunk: Buffer) => {
      this.#take(chunk);
    });
    socket.on("drain", () => {
      this.#call?.request.emit("drain");
    });
    socket.on("end", () => {
      this.#ended();
    });
    socket.on("error", (error) => {
      this.#fail(error);
    });
    socket.on("close", () => {
      this.#ended();
    });
  }

  /** Whether it could serve a request now. */
  get usable(): boolean {
    return !this.#closed && this.#call === undefined && this.socket.writable;
  }

  /** Begins with a request: nothing is sent before that is written. */
  begin(head: ForwardHead): UpstreamCall {
    let call: Call;
    try {
      call = new Call(head, this, this.uses > 0);
    } catch (error) {
      // What cannot be sent leaves no connection behind that nobody has, and is not the upstream's fault.
      this.#onReady = undefined;
      this.close(new Error("its request cannot be sent"));
      throw error;
    }
    this.uses++;
    this.#call = call;
    this.#parser.begin(head.method);
    return call;
  }

  abort(by: DirectRequest | DirectResponse, error?: Error): void {
    const call = this.#call;
    // Once it is over, the connection may serve somebody else already.
    if (call?.request === by || call?.response === by)
      this.#fail(error ?? new Error("it was given up"));
  }

  /** Closes it, whatever it does. */
  close(error: Error): void {
    this.#fail(error);
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  }

  onSent(): void {
    this.#freeIfDone();
  }

  onHead(head: ParsedHead): void {
    const call = this.#call;
    if (call === undefined) return;
    if (head.status === 101)
      throw new BadResponse("the upstream switched protocols unasked");
    if (head.keepAliveSeconds !== undefined)
      this.keepSeconds = head.keepAliveSeconds;
    call.response = new DirectResponse(head, this);
    call.settle({ type: "response", response: call.response });
  }

  onBody(chunk: Buffer): void {
    this.#call?.response?.push(chunk);
  }

  onEnd(trailers: string[]): void {
    this.#call?.response?.finish(trailers);
  }

  #ready(error: Error | undefined): void {
    const onReady = this.#onReady;
    this.#onReady = undefined;
    onReady?.(error);
  }

  #take(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#parser.take(chunk);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#freeIfDone();
  }

  /** The upstream sends nothing any more. */
  #ended(): void {
    if (this.#closed) return;
    if (this.#call !== undefined && this.#parser.finish()) this.#freeIfDone();
    else this.#fail(new Error("the connection was closed without an answer"));
  }

  /** Both the request and its answer are over. */
  #freeIfDone(): void {
    const call = this.#call;
    if (this.#closed || call?.response?.complete !== true) return;
    if (!this.#parser.keeps) {
      // Who answers before it has the request may still want to read it, and then it closes.
      if (call.request.writableFinished) this.#close();
      return;
    }
    if (!call.request.writableFinished) return;
    this.#call = undefined;
    this.resume();
    this.#owner.free(this);
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    const call = this.#call;
    this.#close();
    this.#ready(error);
    if (call === undefined) return;
    if (call.response === undefined) {
      // Closed just when it was used again: nobody has seen the request.
      const stale =
        call.reused && !this.#parser.begun && isIdempotent(call.method);
      call.settle({
        type: "failed",
        failure: exchangeFailure(error, stale && wasClosed(error)),
      });
    } else call.response.breakOff(error);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#call = undefined;
    this.socket.destroy();
    this.#owner.gone(this);
  }
}

function wasClosed(error: Error): boolean {
  return (
    error.message === "the connection was closed without an answer" ||
    ("code" in error && (error.code === "ECONNRESET" || error.code === "EPIPE"))
  );
}
