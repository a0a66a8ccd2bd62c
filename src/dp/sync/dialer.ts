import type { Clock } from "../../runtime/clock.ts";
import { Doorbell } from "../../runtime/doorbell.ts";
import type { HostPort } from "../../runtime/host-port.ts";
import type { Logger } from "../../runtime/logger.ts";
import {
  attempted,
  beginCourse,
  connected,
  dueMs,
  ended,
  nextAttempt,
  nextMsOf,
  withAlternatives,
  type Course,
  type Leg,
  type Random,
  type Retry,
} from "./course.ts";

export interface DialerOptions<C> {
  readonly controlPlanes: readonly HostPort[];
  /** Connects; rejects when that did not work, and soon after the signal is aborted. */
  readonly open: (target: HostPort, signal: AbortSignal) => Promise<C>;
  /** Whether other control planes than those listed must be on this machine. */
  readonly loopbackOnly: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
}

/** A connection to one of the control planes. */
export interface Dialled<C> {
  readonly address: string;
  readonly connection: C;
}

/** A control plane as `/status` shows it. */
export interface ControlPlaneStatus {
  /** "host:port". */
  readonly address: string;
  readonly state: "connected" | "connecting" | "waiting" | "idle";
  readonly lastError: string | undefined;
  /** While `waiting`: how long until it is tried. */
  readonly nextAttemptMs: number | undefined;
}

/** The longest wait without a look at the clock. */
const LONG_MS = 60_000;

/** Connects to whichever control plane can be had. Which to try when is decided in course.ts. */
export class Dialer<C extends Disposable> {
  readonly #options: DialerOptions<C>;
  #course: Course;

  constructor(options: DialerOptions<C>) {
    this.#options = options;
    this.#course = beginCourse(options.controlPlanes);
  }

  /** Resolves with the first connection that comes about; others that are under way are given up. Rejects only with the signal's reason. */
  async connect(signal: AbortSignal): Promise<Dialled<C>> {
    const { clock, random } = this.#options;
    const bell = new Doorbell();
    const over = new AbortController();
    const trying = AbortSignal.any([signal, over.signal]);
    const first: { dialled?: Dialled<C> } = {};
    const attempt = async (address: string, target: HostPort) => {
      const connection = await this.#open(address, target, trying);
      if (connection !== undefined) {
        if (first.dialled !== undefined || trying.aborted)
          connection[Symbol.dispose]();
        else first.dialled = { address, connection };
      }
      bell.ring();
    };
    try {
      for (;;) {
        signal.throwIfAborted();
        if (first.dialled !== undefined) {
          this.#course = connected(this.#course, first.dialled.address);
          return first.dialled;
        }
        const nowMs = clock.monotonic();
        const advice = nextAttempt(this.#course, nowMs, random);
        if (advice.type === "try") {
          const { address } = advice;
          this.#course = attempted(this.#course, address, nowMs);
          const target = this.#course.candidates.get(address)?.target;
          if (target !== undefined) void attempt(address, target);
        } else {
          const waitMs =
            advice.type === "wait" ? advice.untilMs - nowMs : LONG_MS;
          await bell.wait(signal, clock, Math.min(waitMs, LONG_MS));
        }
      }
    } finally {
      over.abort();
      // Aborted between a success and a look at it.
      if (signal.aborted) first.dialled?.connection[Symbol.dispose]();
    }
  }

  /** The connection has ended; what its control plane wished for, if anything. */
  ended(
    address: string,
    leg: Leg,
    wishes: {
      readonly retry?: Retry | undefined;
      readonly alternatives?: readonly string[] | undefined;
    } = {},
  ): void {
    const { clock, random, loopbackOnly } = this.#options;
    const nowMs = clock.monotonic();
    const course = withAlternatives(
      { ...this.#course, retry: wishes.retry ?? this.#course.retry },
      wishes.alternatives ?? [],
      nowMs,
      { loopbackOnly },
    );
    this.#course = ended(course, address, leg, nowMs, random);
    this.#tell(address, leg);
  }

  /** Each control plane, and how it is with it. */
  status(): readonly ControlPlaneStatus[] {
    const nowMs = this.#options.clock.monotonic();
    const { candidates, gateMs } = this.#course;
    const isBusy = [...candidates.values()].some(
      ({ at }) => at === "connected",
    );
    return [...candidates].map(([address, candidate]) => {
      const { at, lastError } = candidate;
      if (at !== "idle" || isBusy)
        return { address, state: at, lastError, nextAttemptMs: undefined };
      const due = Math.max(gateMs, dueMs(candidate));
      return {
        address,
        state: "waiting",
        lastError,
        nextAttemptMs: Math.max(0, due - nowMs),
      };
    });
  }

  async #open(
    address: string,
    target: HostPort,
    signal: AbortSignal,
  ): Promise<C | undefined> {
    const { open, clock, random } = this.#options;
    try {
      return await open(target, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      const leg = { reason: describe(error) };
      this.#course = ended(
        this.#course,
        address,
        leg,
        clock.monotonic(),
        random,
      );
      this.#tell(address, leg);
      return undefined;
    }
  }

  /** Loudly the first time, and when a connection was lost. */
  #tell(address: string, { reason, servedMs }: Leg): void {
    const { logger, clock } = this.#options;
    const nowMs = clock.monotonic();
    const failures = this.#course.candidates.get(address)?.failures ?? 0;
    const nextMs = nextMsOf(this.#course);
    const line = {
      control_plane: address,
      reason,
      failures,
      // Until any is tried.
      ...(nextMs === undefined
        ? {}
        : { retry_ms: Math.max(0, Math.round(nextMs - nowMs)) }),
    };
    if (servedMs !== undefined || failures === 1)
      logger.warn("sync.disconnected", line);
    else logger.info("sync.retrying", line);
  }
}

/** With the causes, which say what is behind it. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined
    ? error.message
    : `${error.message}: ${describe(error.cause)}`;
}
