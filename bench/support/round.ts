import { median, quantile } from "./statistics.ts";

/** One change on its way to all. Times in nanoseconds of the machine's monotonic clock. */
export interface Item {
  readonly beginNs: number;
  /** When it was durable, for those that make it so. */
  readonly durableNs?: number;
  /** When the answer of each was there; absent for those that get none. */
  readonly answersNs?: Float64Array;
  /** CPU of the sender until the last answer. */
  readonly cpuUs: number;
}

/** What a contender's items come to. Milliseconds, but for the CPU. */
export class Samples {
  /** From the beginning to the last that had it. */
  readonly reached: number[] = [];
  /** From the beginning to the last answer. */
  readonly answered: number[] = [];
  /** From when it was durable, or began, to the last that had it. */
  readonly sent: number[] = [];
  /** The same, to the last answer. */
  readonly settled: number[] = [];
  /** From the beginning to each that had it. */
  readonly each: number[] = [];
  readonly durable: number[] = [];
  /** Microseconds of the sender's CPU for each receiver. */
  readonly cpu: number[] = [];

  /** Takes in an item and when each receiver had it. */
  add(item: Item, arrivalsNs: Float64Array): void {
    const { beginNs, durableNs = beginNs, answersNs } = item;
    if (arrivalsNs.length === 0) throw new Error("it arrived nowhere");
    const last = arrivalsNs.reduce((a, b) => Math.max(a, b), 0);
    this.reached.push(ms(last - beginNs));
    this.sent.push(ms(last - durableNs));
    this.durable.push(ms(durableNs - beginNs));
    for (const at of arrivalsNs) this.each.push(ms(at - beginNs));
    this.cpu.push(item.cpuUs / arrivalsNs.length);
    const answer = answersNs?.at(-1);
    if (answer === undefined) return;
    this.answered.push(ms(answer - beginNs));
    this.settled.push(ms(answer - durableNs));
  }

  append(more: Samples): void {
    for (const name of [
      "reached",
      "answered",
      "sent",
      "settled",
      "durable",
      "cpu",
      "each",
    ] as const)
      for (const value of more[name]) this[name].push(value);
  }

  /** p50 / p99 / max over all receivers of all items. */
  get eachSpread(): readonly number[] {
    return [0.5, 0.99, 1].map((share) => quantile(this.each, share));
  }

  get medians(): {
    readonly reached: number;
    readonly answered: number;
    readonly settled: number;
    readonly cpu: number;
  } {
    return {
      reached: median(this.reached),
      answered: median(this.answered),
      settled: median(this.settled),
      cpu: median(this.cpu),
    };
  }
}

function ms(ns: number): number {
  return ns / 1e6;
}
