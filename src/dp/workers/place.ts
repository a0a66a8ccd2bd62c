import { backoffDelays } from "../../runtime/backoff.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Ending } from "./fork.ts";
import type { Member } from "./member.ts";

/** How a worker is replaced that ends again and again: at once, and then ever later. */
const BACKOFF = { initialMs: 200, maxMs: 30_000 };
/** A worker that lived so long ends a series of failures. */
const CALM_MS = 60_000;

export interface PlaceOptions {
  /** From 1. */
  readonly number: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly hire: (number: number) => Member;
  /** Looks after a worker until it is gone. */
  readonly lead: (member: Member) => Promise<void>;
  /** A worker has ended that was not asked to. */
  readonly onLost: (member: Member, how: string, isCrash: boolean) => void;
}

/** A place for one worker: who has it now is replaced when it ends. */
export class Place {
  readonly #options: PlaceOptions;
  #member: Member | undefined;
  #restarts = 0;
  #lastEnd: string | undefined;
  #failures = 0;

  constructor(options: PlaceOptions) {
    this.#options = options;
  }

  get number(): number {
    return this.#options.number;
  }

  get member(): Member | undefined {
    return this.#member;
  }

  /** How often a worker here was replaced. */
  get restarts(): number {
    return this.#restarts;
  }

  /** How the last one ended. */
  get lastEnd(): string | undefined {
    return this.#lastEnd;
  }

  /** Ended so often in a row without living long. */
  get failures(): number {
    return this.#failures;
  }

  /** Has a worker in this place until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { number, clock, hire, lead } = this.#options;
    let delays = this.#delays();
    while (!signal.aborted) {
      const member = hire(number);
      this.#member = member;
      await lead(member);
      const ending = await member.ended;
      this.#member = undefined;
      if (isAborted(signal)) return;
      const livedMs = clock.monotonic() - member.sinceMs;
      if (livedMs >= CALM_MS) {
        delays = this.#delays();
        this.#failures = 0;
      }
      this.#failures++;
      const delayMs = delays.next().value;
      this.#lost(member, ending, livedMs, delayMs);
      await clock.sleep(delayMs, signal).catch(() => undefined);
      this.#restarts++;
    }
  }

  #delays(): Generator<number, never, undefined> {
    return backoffDelays(BACKOFF, this.#options.random);
  }

  #lost(
    member: Member,
    ending: Ending,
    livedMs: number,
    delayMs: number,
  ): void {
    const { logger, number, onLost } = this.#options;
    const { pid, fault } = member;
    const how = describe(ending, fault);
    this.#lastEnd = how;
    logger.error("worker.lost", {
      worker: number,
      pid,
      how,
      revision: member.serving?.cursor.revision,
      lived_ms: Math.round(livedMs),
      in_a_row: this.#failures,
      replaced_in_ms: Math.round(delayMs),
    });
    // One that somebody asked to end did so in good order.
    onLost(member, how, ending.code !== 0 || fault !== undefined);
  }
}

function describe({ code, signal }: Ending, fault: string | undefined): string {
  const how =
    signal === null
      ? `ended with ${code ?? "an unknown code"}`
      : `was killed by ${signal}`;
  return fault === undefined ? how : `${how}: ${fault}`;
}

/** For the compiler, which takes a signal that was not aborted to stay so. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
