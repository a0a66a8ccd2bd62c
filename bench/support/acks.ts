import { silentLogger, type Logger } from "../../src/runtime/logger.ts";

/** No wait for acknowledgements takes longer. */
const ACK_MS = 40 * 60_000;

interface Awaited {
  readonly revision: bigint;
  readonly nodes: number;
  readonly resolve: (times: Float64Array) => void;
  readonly timer: NodeJS.Timeout;
  /** Of each node that has acknowledged it: when, in nanoseconds of the machine's monotonic clock. */
  readonly times: Map<string, number>;
}

/** Hears of acknowledgements where the control plane logs them, which costs it nothing more. */
export class Acks {
  readonly #revisions = new Map<string, bigint>();
  #awaited: Awaited | undefined;

  readonly logger: Logger = {
    ...silentLogger,
    debug: (event, fields) => {
      this.#line(event, fields);
    },
    info: (event, fields) => {
      this.#line(event, fields);
    },
    error: (event, fields) => {
      throw new Error(event, { cause: fields?.["err"] });
    },
    child: () => this.logger,
  };

  /** Nodes that are connected now. */
  connected = 0;

  /**
   * Resolves with when each of so many nodes had acknowledged a revision or a later one, in the order they did, in
   * nanoseconds; those that had before count as now.
   */
  reached(revision: bigint, nodes: number): Promise<Float64Array> {
    return new Promise((resolve, reject) => {
      const times = new Map<string, number>();
      const timer = setTimeout(() => {
        this.#awaited = undefined;
        reject(
          new Error(
            `${times.size} of ${nodes} nodes acknowledged revision ${revision} within ${ACK_MS} ms`,
          ),
        );
      }, ACK_MS);
      for (const [node, reached] of this.#revisions)
        if (reached >= revision) times.set(node, nowNs());
      this.#awaited = { revision, nodes, resolve, timer, times };
      this.#check(this.#awaited);
    });
  }

  /** Forgets who has acknowledged what. */
  forget(): void {
    this.#revisions.clear();
  }

  #line(
    event: string,
    fields: Readonly<Record<string, unknown>> | undefined,
  ): void {
    if (event === "node.connected") this.connected++;
    else if (event === "node.disconnected") this.connected--;
    else if (event === "node.acked")
      this.#heard(String(fields?.["node"]), fields?.["revision"] as bigint);
  }

  #heard(node: string, revision: bigint): void {
    this.#revisions.set(node, revision);
    const awaited = this.#awaited;
    if (awaited === undefined || revision < awaited.revision) return;
    if (awaited.times.has(node)) return;
    awaited.times.set(node, nowNs());
    this.#check(awaited);
  }

  #check({ nodes, times, timer, resolve }: Awaited): void {
    if (times.size < nodes) return;
    clearTimeout(timer);
    this.#awaited = undefined;
    resolve(Float64Array.from(times.values()));
  }
}

/** The machine's monotonic clock, which all its processes share. */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}
