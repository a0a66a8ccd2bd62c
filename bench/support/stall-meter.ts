import { closeSync, openSync, readSync } from "node:fs";
import {
  monitorEventLoopDelay,
  PerformanceObserver,
  type IntervalHistogram,
} from "node:perf_hooks";

/** How often the event loop is expected to turn. */
const TICK_MS = 1;
/** Shorter gaps are not looked at. */
const GAP_MS = 2;

/** Garbage collections by what they collect. */
interface Collections {
  readonly count: number;
  readonly totalMs: number;
  readonly longestMs: number;
}

/** What kept the event loop of a process from turning. */
export interface Stalls {
  /** By perf_hooks: the longest time between two turns. */
  readonly delayMaxMs: number;
  readonly delayP99Ms: number;
  /** By the clock: the longest gap between two turns. Includes time in which another process had the CPU. */
  readonly longestMs: number;
  /** The longest gap by what this process's main thread spent on the CPU; equal to the above where that is not known. */
  readonly longestCpuMs: number;
  /** The same without garbage collections. */
  readonly longestWorkMs: number;
  /** Gaps of over 20 ms on the CPU without garbage collections. */
  readonly over20: number;
  readonly collections: Collections;
}

interface Gap {
  readonly startMs: number;
  readonly endMs: number;
  readonly cpuMs: number;
}

interface Pause {
  readonly startMs: number;
  readonly endMs: number;
}

/** Watches this process's event loop and its garbage collections. */
export class StallMeter {
  readonly #delay: IntervalHistogram;
  readonly #observer: PerformanceObserver;
  readonly #pauses: Pause[] = [];
  readonly #gaps: Gap[] = [];
  readonly #cpu = ThreadCpu.open();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#delay = monitorEventLoopDelay({ resolution: TICK_MS });
    this.#delay.enable();
    this.#observer = new PerformanceObserver((list) => {
      this.#note(list.getEntries());
    });
    this.#observer.observe({ entryTypes: ["gc"] });
    let lastMs = performance.now();
    let lastCpuMs = this.#cpu?.readMs();
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      const nowCpuMs = this.#cpu?.readMs();
      if (nowMs - lastMs > GAP_MS)
        this.#gaps.push({
          startMs: lastMs,
          endMs: nowMs,
          cpuMs:
            nowCpuMs === undefined || lastCpuMs === undefined
              ? nowMs - lastMs
              : nowCpuMs - lastCpuMs,
        });
      lastMs = nowMs;
      lastCpuMs = nowCpuMs;
    }, TICK_MS);
  }

  stop(): Stalls {
    clearInterval(this.#timer);
    this.#delay.disable();
    this.#note(this.#observer.takeRecords());
    this.#observer.disconnect();
    this.#cpu?.close();
    const work = this.#gaps.map((gap) =>
      Math.max(0, gap.cpuMs - this.#collectedMs(gap)),
    );
    const durations = this.#pauses.map(({ startMs, endMs }) => endMs - startMs);
    return {
      delayMaxMs: this.#delay.max / 1e6,
      delayP99Ms: this.#delay.percentile(99) / 1e6,
      longestMs: longest(
        this.#gaps.map(({ startMs, endMs }) => endMs - startMs),
      ),
      longestCpuMs: longest(this.#gaps.map(({ cpuMs }) => cpuMs)),
      longestWorkMs: longest(work),
      over20: work.filter((ms) => ms > 20).length,
      collections: {
        count: durations.length,
        totalMs: durations.reduce((sum, ms) => sum + ms, 0),
        longestMs: longest(durations),
      },
    };
  }

  #note(
    entries: readonly {
      readonly startTime: number;
      readonly duration: number;
    }[],
  ): void {
    for (const { startTime, duration } of entries)
      this.#pauses.push({ startMs: startTime, endMs: startTime + duration });
  }

  /** How much of a gap was garbage collection. */
  #collectedMs({ startMs, endMs }: Gap): number {
    let collected = 0;
    for (const pause of this.#pauses)
      collected += Math.max(
        0,
        Math.min(endMs, pause.endMs) - Math.max(startMs, pause.startMs),
      );
    return collected;
  }
}

/** The CPU time of this process's main thread, where the system tells. */
class ThreadCpu {
  readonly #file: number;
  readonly #buffer = Buffer.alloc(64);

  private constructor(file: number) {
    this.#file = file;
  }

  static open(): ThreadCpu | undefined {
    try {
      return new ThreadCpu(
        openSync(`/proc/self/task/${process.pid}/schedstat`, "r"),
      );
    } catch {
      return undefined;
    }
  }

  readMs(): number {
    const length = readSync(this.#file, this.#buffer, 0, 64, 0);
    return Number.parseInt(this.#buffer.toString("latin1", 0, length)) / 1e6;
  }

  close(): void {
    closeSync(this.#file);
  }
}

function longest(values: readonly number[]): number {
  return values.reduce((max, value) => Math.max(max, value), 0);
}
