import { BadResponse } from "./response-head.ts";

/** The most bytes that trailers, or the line before a chunk, may have. */
const MAX_TRAILER_BYTES = 16 * 1024;
const MAX_LINE_BYTES = 4 * 1024;

const CR = 0x0d;
const LF = 0x0a;

type State = "size" | "data" | "data-end" | "trailers";

/** Takes a chunked body apart. */
export class ChunkedBody {
  readonly #onData: (data: Buffer) => void;
  #state: State = "size";
  #left = 0;
  /** A line whose end has not come, in Latin-1. */
  #line = "";
  #trailerBytes = 0;
  readonly #trailers: string[] = [];
  /** Names and values by turns, once the body has ended. */
  trailers: string[] | undefined;

  constructor(onData: (data: Buffer) => void) {
    this.#onData = onData;
  }

  /**
   * Takes what has come of the body.
   *
   * @returns Where it ends; the length of the chunk when it goes on.
   * @throws BadResponse
   */
  take(chunk: Buffer, start: number): number {
    let at = start;
    while (at < chunk.length && this.trailers === undefined)
      at =
        this.#state === "data"
          ? this.#takeData(chunk, at)
          : this.#takeLine(chunk, at);
    return at;
  }

  #takeData(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = "data-end";
    this.#onData(chunk.subarray(at, end));
    return end;
  }

  #takeLine(chunk: Buffer, at: number): number {
    const end = chunk.indexOf(LF, at);
    const piece = chunk.toString("latin1", at, end < 0 ? chunk.length : end);
    this.#line += piece;
    if (this.#line.length > MAX_LINE_BYTES) {
      if (this.#state !== "trailers" || this.#line.length > MAX_TRAILER_BYTES)
        throw new BadResponse(
          "a chunk of the answer begins with too long a line",
        );
    }
    if (end < 0) return chunk.length;
    const line = this.#line;
    this.#line = "";
    if (line.charCodeAt(line.length - 1) !== CR)
      throw new BadResponse("a line between the answer's chunks does not end");
    this.#takeText(line.slice(0, -1));
    return end + 1;
  }

  #takeText(line: string): void {
    switch (this.#state) {
      case "size":
        this.#takeSize(line);
        break;
      case "data":
      case "data-end":
        if (line !== "")
          throw new BadResponse("a chunk of the answer is longer than it says");
        this.#state = "size";
        break;
      case "trailers":
        this.#takeTrailer(line);
        break;
      default:
        return this.#state satisfies never;
    }
  }

  #takeSize(line: string): void {
    // What follows a ";" is an extension, which nobody uses.
    const hex = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
    if (hex === undefined)
      throw new BadResponse("the size of a chunk of the answer makes no sense");
    this.#left = Number.parseInt(hex, 16);
    this.#state = this.#left === 0 ? "trailers" : "data";
  }

  #takeTrailer(line: string): void {
    if (line === "") {
      this.trailers = this.#trailers;
      return;
    }
    this.#trailerBytes += line.length;
    const pair = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (pair === null || this.#trailerBytes > MAX_TRAILER_BYTES)
      throw new BadResponse("the trailers of the answer make no sense");
    this.#trailers.push(pair[1] ?? "", pair[2] ?? "");
  }
}
