import { setTimeout as sleep } from "node:timers/promises";
import type { FleetNodes, Target } from "../roles/fleet-nodes.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { Child } from "./child.ts";

/** Connections that one process holds, about. */
const PER_DRIVER = 1_250;
const MIN_DRIVERS = 2;
const ARRIVAL_MS = 120_000;
const POLL_MS = 20;

/** Everything that connects, spread over processes of its own. */
export class Fleet implements AsyncDisposable {
  readonly size: number;
  readonly #drivers: readonly Child<FleetNodes>[];
  readonly #stack: CloseStack;

  private constructor(
    size: number,
    drivers: readonly Child<FleetNodes>[],
    stack: CloseStack,
  ) {
    this.size = size;
    this.#drivers = drivers;
    this.#stack = stack;
  }

  /** Starts processes for a fleet of this size. */
  static async start(size: number): Promise<Fleet> {
    await using stack = new CloseStack();
    const drivers: Child<FleetNodes>[] = [];
    const count = Math.max(MIN_DRIVERS, Math.ceil(size / PER_DRIVER));
    for (let i = 0; i < Math.min(size, count); i++)
      drivers.push(stack.use(await Child.start<FleetNodes>("fleet-nodes")));
    return new Fleet(size, drivers, stack.move());
  }

  /** How many processes there are. */
  get drivers(): number {
    return this.#drivers.length;
  }

  /** Gives nodes what they need for TLS, before their connecting is looked at. */
  async prepare(target: Target, name: string): Promise<void> {
    await this.#share((driver, count) =>
      driver.call("prepare", target, name, count),
    );
  }

  /** Every node makes a full handshake when it connects next. */
  async forgetTickets(): Promise<void> {
    for (const driver of this.#drivers) await driver.call("forgetTickets");
  }

  async openNodes(target: Target, name: string, cached = false): Promise<void> {
    await this.#share((driver, count) =>
      driver.call("openNodes", target, name, count, cached),
    );
  }

  /** Milliseconds until all streams were open. */
  openStreams(target: Target, name: string): Promise<number> {
    return this.#share((driver, count) =>
      driver.call("openStreams", target, name, count),
    );
  }

  /** Milliseconds until all watchers were open. */
  openWatchers(target: Target): Promise<number> {
    return this.#share((driver, count) =>
      driver.call("openWatchers", target, count),
    );
  }

  /** Lets every process get the state that nodes may come with. */
  async fetch(target: Target, revision: bigint): Promise<void> {
    for (const driver of this.#drivers)
      await driver.call("fetch", target, revision);
  }

  /** How often a change has come to somebody since `takeArrivals`. */
  async arrived(name: string): Promise<number> {
    const counts = await Promise.all(
      this.#drivers.map((driver) => driver.call("arrived", name)),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Resolves when that is so many. */
  async heard(name: string, count: number): Promise<void> {
    const untilMs = performance.now() + ARRIVAL_MS;
    for (;;) {
      const now = await this.arrived(name);
      if (now >= count) return;
      if (performance.now() > untilMs)
        throw new Error(`${now} of ${count} changes came to "${name}"`);
      await sleep(POLL_MS);
    }
  }

  /** For each change since the last call: when each of all had it. */
  async takeArrivals(name: string): Promise<readonly Float64Array[]> {
    const parts = await Promise.all(
      this.#drivers.map((driver) => driver.call("takeArrivals", name)),
    );
    const items = Math.max(...parts.map((part) => part.length));
    return Array.from({ length: items }, (_, i) =>
      Float64Array.from(parts.flatMap((part) => [...(part[i] ?? [])])),
    );
  }

  async close(name: string): Promise<void> {
    for (const driver of this.#drivers) await driver.call("close", name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.close();
  }

  async #share(
    each: (driver: Child<FleetNodes>, count: number) => Promise<void>,
  ): Promise<number> {
    const startedMs = performance.now();
    const { length } = this.#drivers;
    await Promise.all(
      this.#drivers.map((driver, i) =>
        each(
          driver,
          Math.floor(this.size / length) + (i < this.size % length ? 1 : 0),
        ),
      ),
    );
    return performance.now() - startedMs;
  }
}
