import { ChunkedBody } from "./chunked-body.ts";
import { BadResponse, parseHead, type ParsedHead } from "./response-head.ts";

/** What an answer consists of, as it comes. */
export interface ResponseListener {
  /** The head of the answer; those of 1xx answers before it are not told. */
  onHead(head: ParsedHead): void;
  onBody(chunk: Buffer): void;
  /** @param trailers Names and values by turns. */
  onEnd(trailers: string[]): void;
}

const HEAD_END = "\r\n\r\n";
/** The most bytes that the head of an answer may have. */
const MAX_HEAD_BYTES = 64 * 1024;

type State = "idle" | "head" | "length" | "chunks" | "rest";

/** Reads the answers of one connection, one after the other. Strict: what is not clear is no answer. */
export class ResponseParser {
  readonly #listener: ResponseListener;
  #state: State = "idle";
  #bodiless = false;
  /** The beginning of a head whose end has not come. */
  #part: Buffer | undefined;
  /** Bytes of a body with a length that are still to come. */
  #left = 0;
  #chunks: ChunkedBody | undefined;
  #keep = false;

  constructor(listener: ResponseListener) {
    this.#listener = listener;
  }

  /** Whether the connection can serve another request after this answer. */
  get keeps(): boolean {
    return this.#keep;
  }

  /** Whether anything of an answer has come. */
  get begun(): boolean {
    return this.#state !== "head" || this.#part !== undefined;
  }

  /** From now on there is an answer to a request of this method. */
  begin(method: string): void {
    this.#state = "head";
    this.#bodiless = method === "HEAD";
    this.#keep = false;
    this.#part = undefined;
  }

  /** @throws BadResponse when this is no answer, or more than one. */
  take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length)
      switch (this.#state) {
        case "idle":
          // Nobody asked for it: whatever it is, it must not be taken for the answer to a next request.
          this.#keep = false;
          throw new BadResponse("the upstream sent more than one answer");
        case "head":
          at = this.#takeHead(chunk, at);
          break;
        case "length":
          at = this.#takeLength(chunk, at);
          break;
        case "chunks":
          at = this.#takeChunks(chunk, at);
          break;
        case "rest":
          this.#listener.onBody(at === 0 ? chunk : chunk.subarray(at));
          at = chunk.length;
          break;
        default:
          return this.#state satisfies never;
      }
  }

  /** The connection has ended. True when that was the end of the answer. */
  finish(): boolean {
    if (this.#state !== "rest") return false;
    this.#end([]);
    return true;
  }

  #takeHead(chunk: Buffer, at: number): number {
    const part = this.#part;
    const bytes =
      part === undefined ? chunk : Buffer.concat([part, chunk.subarray(at)]);
    const from = part === undefined ? at : 0;
    const end = bytes.indexOf(HEAD_END, from, "latin1");
    if ((end < 0 ? bytes.length : end) - from > MAX_HEAD_BYTES)
      throw new BadResponse("the headers of the answer are too large");
    if (end < 0) {
      // Before it is waited for: is this HTTP at all?
      if (!"HTTP/1.".startsWith(bytes.toString("latin1", from, from + 7)))
        throw new BadResponse("the answer is not HTTP/1.1");
      this.#part = bytes.subarray(from);
      return chunk.length;
    }
    this.#part = undefined;
    const head = parseHead(bytes.toString("latin1", from, end));
    const next = chunk.length - (bytes.length - end - HEAD_END.length);
    // Hints and "go on": they are between neighbours, and the answer is still to come.
    if (head.status < 200 && head.status !== 101) return next;
    this.#begin(head);
    return next;
  }

  #begin(head: ParsedHead): void {
    const { status, framing } = head;
    const bodiless = this.#bodiless || status === 204 || status === 304;
    this.#keep = head.keepAlive && (bodiless || framing.type !== "until-close");
    if (bodiless) {
      this.#state = "idle";
      this.#listener.onHead(head);
      this.#listener.onEnd([]);
      return;
    }
    switch (framing.type) {
      case "length":
        this.#left = framing.bytes;
        this.#state = "length";
        this.#listener.onHead(head);
        if (this.#left === 0) this.#end([]);
        break;
      case "chunked":
        this.#chunks = new ChunkedBody((data) => {
          this.#listener.onBody(data);
        });
        this.#state = "chunks";
        this.#listener.onHead(head);
        break;
      case "until-close":
        this.#state = "rest";
        this.#listener.onHead(head);
        break;
      default:
        return framing satisfies never;
    }
  }

  #takeLength(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#left -= end - at;
    this.#listener.onBody(
      at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end),
    );
    if (this.#left === 0) this.#end([]);
    return end;
  }

  #takeChunks(chunk: Buffer, at: number): number {
    const chunks = this.#chunks;
    if (chunks === undefined) return chunk.length;
    const next = chunks.take(chunk, at);
    if (chunks.trailers !== undefined) this.#end(chunks.trailers);
    return next;
  }

  #end(trailers: string[]): void {
    this.#state = "idle";
    this.#chunks = undefined;
    this.#listener.onEnd(trailers);
  }
}
