import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Calls } from "../support/child.ts";
import { quantile } from "../support/statistics.ts";

/** Requests to send, and how. */
export interface LoadPlan {
  readonly port: number;
  readonly secure: boolean;
  readonly connections: number;
  /** Whole requests without a body; every connection goes round them from a place of its own. */
  readonly requests: readonly string[];
  /** That every answer must have: one that does less work is not measured. */
  readonly bodyBytes: number;
  readonly durationMs: number;
  /** Requests a second of all connections together; 0: as many as are answered. */
  readonly rate: number;
}

/** What became of them. */
export interface LoadResult {
  readonly requests: number;
  readonly failures: readonly string[];
  readonly durationMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface ProxyLoad {
  readonly run: (plan: LoadPlan) => Promise<LoadResult>;
}

const HEAD_END = Buffer.from("\r\n\r\n");
/** Failures that are told one by one. */
const MAX_FAILURES = 20;
const TICK_MS = 1;
/** How long the last answers may take after the time is up. */
const TAIL_MS = 10_000;

/** Sends requests over kept connections, and does as little as can be for each. */
export function proxyLoad(): ProxyLoad & Calls {
  return {
    run: async (plan) => {
      const run = new Run(plan);
      return run.result();
    },
  };
}

class Run {
  readonly #plan: LoadPlan;
  readonly #requests: readonly Buffer[];
  readonly #latencies: number[] = [];
  readonly #failures: string[] = [];
  #failed = 0;
  #over = false;
  #endMs = Infinity;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    this.#requests = plan.requests.map((text) => Buffer.from(text, "latin1"));
  }

  async result(): Promise<LoadResult> {
    const { connections, durationMs, rate } = this.#plan;
    const lines: Line[] = [];
    for (let i = 0; i < connections; i++) lines.push(await this.#open(i));
    const startMs = performance.now();
    this.#endMs = startMs + durationMs;
    const everyMs = rate > 0 ? (connections * 1000) / rate : 0;
    for (const [i, line] of lines.entries())
      line.start(startMs + (everyMs * i) / connections, everyMs);
    const ticking =
      rate > 0
        ? setInterval(() => {
            const now = performance.now();
            for (const line of lines) line.tick(now);
          }, TICK_MS)
        : undefined;
    await Promise.race([
      Promise.all(lines.map(({ done }) => done)),
      new Promise((resolve) =>
        setTimeout(resolve, durationMs + TAIL_MS).unref(),
      ),
    ]);
    clearInterval(ticking);
    const took = Math.min(performance.now(), this.#endMs) - startMs;
    this.#over = true;
    for (const line of lines) line.close();
    return {
      requests: this.#latencies.length,
      failures:
        this.#failed > MAX_FAILURES
          ? [...this.#failures, `${this.#failed - MAX_FAILURES} more`]
          : this.#failures,
      durationMs: took,
      p50Ms: quantile(this.#latencies, 0.5),
      p99Ms: quantile(this.#latencies, 0.99),
    };
  }

  async #open(i: number): Promise<Line> {
    const { port, secure } = this.#plan;
    const socket = secure
      ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false })
      : connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    await once(socket, secure ? "secureConnect" : "connect");
    return new Line(socket, this.#requests, i * 7919, {
      bodyBytes: this.#plan.bodyBytes,
      endMs: () => this.#endMs,
      answered: (latencyMs) => this.#latencies.push(latencyMs),
      failed: (what) => {
        if (this.#over) return;
        if (++this.#failed <= MAX_FAILURES) this.#failures.push(what);
      },
    });
  }
}

interface Listener {
  readonly bodyBytes: number;
  readonly endMs: () => number;
  readonly answered: (latencyMs: number) => void;
  readonly failed: (what: string) => void;
}

/** One connection: a request, its answer, the next request. */
class Line {
  readonly done: Promise<void>;
  readonly #socket: Socket;
  readonly #requests: readonly Buffer[];
  readonly #listener: Listener;
  #finish: () => void = () => undefined;
  #next: number;
  /** When the request under way was sent, or should have been; undefined between two. */
  #sinceMs: number | undefined;
  #dueMs = 0;
  #everyMs = 0;
  /** Bytes of the answer's body that are still to come; -1 while its head is. */
  #left = -1;
  #head: Buffer | undefined;

  constructor(
    socket: Socket,
    requests: readonly Buffer[],
    first: number,
    listener: Listener,
  ) {
    this.#socket = socket;
    this.#requests = requests;
    this.#next = first % requests.length;
    this.#listener = listener;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    socket.on("data", (chunk: Buffer) => {
      this.#take(chunk);
    });
    socket.on("error", (error) => {
      listener.failed(error.message);
    });
    socket.on("close", () => {
      if (this.#sinceMs !== undefined) listener.failed("closed");
      this.#finish();
    });
  }

  start(dueMs: number, everyMs: number): void {
    this.#dueMs = dueMs;
    this.#everyMs = everyMs;
    if (everyMs === 0) this.#send(performance.now());
  }

  /** Sends what is due. What is late counts from when it was due. */
  tick(nowMs: number): void {
    if (nowMs >= this.#listener.endMs()) {
      if (this.#sinceMs === undefined) this.#finish();
    } else if (this.#sinceMs === undefined && nowMs >= this.#dueMs) {
      this.#send(this.#dueMs);
      this.#dueMs += this.#everyMs;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(sinceMs: number): void {
    const request = this.#requests[this.#next];
    this.#next = (this.#next + 1) % this.#requests.length;
    if (request === undefined) return;
    this.#sinceMs = sinceMs;
    this.#socket.write(request);
  }

  #take(chunk: Buffer): void {
    if (this.#left < 0) {
      const bytes =
        this.#head === undefined ? chunk : Buffer.concat([this.#head, chunk]);
      const end = bytes.indexOf(HEAD_END);
      this.#head = end < 0 ? bytes : undefined;
      if (end < 0) return;
      const head = bytes.toString("latin1", 0, end + 2);
      const status = head.slice(9, 12);
      if (status !== "200") this.#listener.failed(`status ${status}`);
      const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
      if (Number(length) !== this.#listener.bodyBytes) {
        this.#listener.failed(`a length of ${length ?? "nothing"}`);
        this.#socket.destroy();
        return;
      }
      this.#left = Number(length) - (bytes.length - end - HEAD_END.length);
    } else this.#left -= chunk.length;
    if (this.#left > 0) return;
    if (this.#left < 0) this.#listener.failed("more than an answer");
    this.#left = -1;
    const now = performance.now();
    this.#listener.answered(now - (this.#sinceMs ?? now));
    this.#sinceMs = undefined;
    if (now >= this.#listener.endMs()) this.#finish();
    else if (this.#everyMs === 0) this.#send(now);
    else this.tick(now);
  }
}
