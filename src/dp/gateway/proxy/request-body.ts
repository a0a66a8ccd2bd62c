import type { Clock } from "../../../runtime/clock.ts";
import type { Answer } from "../../plugins/plugin.ts";
import type { DownstreamRequest } from "../downstream/message.ts";
import { isForged } from "./forged-headers.ts";
import { hasHeader, trailersOf, valuesOf } from "./hop-by-hop.ts";
import type { SentRequest } from "./messages.ts";

/** How long a body may take to arrive when a plugin wants to see it. */
const READ_TIMEOUT_MS = 60_000;

/** What sending a body waits for. */
export type SendProgress = "client" | "write" | "sent";

/** How much of a body may come, and the answer to more. */
interface BodyLimit {
  readonly bytes: number;
  readonly answer: Answer;
}

/** The body of a client's request on its way upstream: streamed, unless a plugin wants to see it first. */
export class RequestBody {
  readonly #request: DownstreamRequest;
  readonly #chunked: boolean;
  /** The length that the client said. */
  readonly #declared: string | undefined;
  readonly #onFirstRead: () => void;
  readonly #clock: Clock;
  /** What was read for a plugin. */
  #head: Buffer[] = [];
  #headBytes = 0;
  #replacement: Buffer | undefined;
  #reading:
    { readonly limitBytes: number; readonly done: Promise<void> } | undefined;
  #streaming = false;
  #begun = false;
  #received = 0;
  #limit: BodyLimit | undefined;
  #exceeded: Answer | undefined;

  /** @param onFirstRead Called before the first byte is asked for: a client may wait for leave to send. */
  constructor(
    request: DownstreamRequest,
    clock: Clock,
    onFirstRead: () => void,
  ) {
    this.#request = request;
    this.#clock = clock;
    this.#chunked =
      request.openEnded === true ||
      hasHeader(request.rawHeaders, "transfer-encoding");
    [this.#declared] = valuesOf(request.rawHeaders, "content-length");
    this.#onFirstRead = onFirstRead;
  }

  /** Whether there may be a body at all. */
  get present(): boolean {
    return this.#chunked || this.#length > 0;
  }

  /** Bytes that came so far, of those that somebody wanted. */
  get received(): number {
    return this.#received;
  }

  /** Whether it can be sent again: nothing of it has left, or it is all here. */
  get repeatable(): boolean {
    return !this.#streaming;
  }

  /** The whole body, if it has at most `limitBytes` and arrives whole. What was read is sent upstream all the same. */
  async read(limitBytes: number): Promise<Buffer | undefined> {
    if (!this.present) return Buffer.alloc(0);
    if (!this.#request.readableEnded) {
      const before = this.#reading;
      // Whoever looked at it before may have wanted less of it.
      if (before === undefined || before.limitBytes < limitBytes) {
        const fill = (): Promise<void> => this.#fill(limitBytes);
        const done = before === undefined ? fill() : before.done.then(fill);
        this.#reading = { limitBytes, done };
      }
      await this.#reading?.done;
    }
    return this.#isWhole ? Buffer.concat(this.#head) : undefined;
  }

  /** The answer to what has turned out longer than it may be; undefined as long as it has not. */
  get exceeded(): Answer | undefined {
    return this.#exceeded;
  }

  /** Gives the request up as soon as more than so many bytes of its body have come. Of several limits the lowest counts. */
  limit(bytes: number, answer: Answer): void {
    if (this.#limit === undefined || bytes < this.#limit.bytes)
      this.#limit = { bytes, answer };
  }

  /** Sends this instead. */
  replace(body: Buffer): void {
    this.#replacement = body;
  }

  /** The header that says how long the body is. */
  framing(): readonly [name: string, value: string] | undefined {
    if (this.#replacement !== undefined)
      return ["Content-Length", String(this.#replacement.length)];
    if (this.#chunked) return ["Transfer-Encoding", "chunked"];
    return this.#declared === undefined
      ? undefined
      : ["Content-Length", this.#declared];
  }

  /**
   * Sends the body and ends the request.
   *
   * @param onProgress Called whenever something moved, with what is waited for next.
   * @returns A function that stops sending, for when the upstream is gone.
   */
  send(
    upstream: SentRequest,
    onProgress: (next: SendProgress) => void,
  ): () => void {
    upstream.once("finish", () => {
      onProgress("sent");
    });
    const whole =
      this.#replacement ??
      (this.#isWhole ? Buffer.concat(this.#head) : undefined);
    if (this.#exceeds(this.#received)) {
      giveUp(upstream);
      return () => undefined;
    }
    if (whole !== undefined || !this.present) {
      onProgress("write");
      upstream.end(whole);
      return () => undefined;
    }
    this.#streaming = true;
    return this.#stream(upstream, onProgress);
  }

  /** Reads and drops what is left, so that the connection can go on to its next request. */
  drop(): void {
    this.#request.resume();
  }

  get #length(): number {
    return Number(this.#declared ?? 0);
  }

  get #isWhole(): boolean {
    return (
      this.#request.complete && this.#request.readableEnded && !this.#streaming
    );
  }

  /** Whether so many bytes are too many. */
  #exceeds(bytes: number): boolean {
    if (this.#limit === undefined || bytes <= this.#limit.bytes) return false;
    this.#exceeded = this.#limit.answer;
    return true;
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#onFirstRead();
  }

  #fill(limitBytes: number): Promise<void> {
    const request = this.#request;
    if (this.#length > limitBytes || request.readableEnded || request.destroyed)
      return Promise.resolve();
    this.#begin();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        request.off("data", take).off("end", done).off("close", done);
        resolve();
      };
      const take = (chunk: Buffer): void => {
        this.#head.push(chunk);
        this.#headBytes += chunk.length;
        this.#received += chunk.length;
        if (this.#headBytes <= limitBytes) return;
        request.pause();
        done();
      };
      const timer = this.#clock.setTimer(READ_TIMEOUT_MS, () => {
        request.pause();
        done();
      });
      request.on("data", take).once("end", done).once("close", done);
      // It is held back when less of it was wanted before.
      request.resume();
    });
  }

  #stream(
    upstream: SentRequest,
    onProgress: (next: SendProgress) => void,
  ): () => void {
    const request = this.#request;
    const resume = (): void => {
      onProgress("client");
      request.resume();
    };
    const take = (chunk: Buffer): void => {
      this.#received += chunk.length;
      if (this.#exceeds(this.#received)) {
        stop();
        giveUp(upstream);
        return;
      }
      if (upstream.write(chunk)) {
        onProgress("client");
        return;
      }
      request.pause();
      onProgress("write");
    };
    const end = (): void => {
      const trailers = trailersOf(request.rawTrailers).filter(
        ([name]) => !isForged(name.toLowerCase()),
      );
      if (this.#chunked && trailers.length > 0) upstream.addTrailers(trailers);
      onProgress("write");
      upstream.end();
    };
    const stop = (): void => {
      request.off("data", take).off("end", end);
      upstream.off("drain", resume);
      request.pause();
    };
    for (const chunk of this.#head) upstream.write(chunk);
    this.#head = [];
    onProgress("client");
    upstream.on("drain", resume);
    request.on("data", take).once("end", end);
    this.#begin();
    request.resume();
    return stop;
  }
}

function giveUp(upstream: SentRequest): void {
  upstream.destroy(new Error("the client's body is longer than it may be"));
}
