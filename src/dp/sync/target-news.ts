import { LIMITS } from "../../sync/limits.ts";

/** The health of one address, as Reports tell it. */
export interface ToldTarget {
  readonly upstream: string;
  readonly target: string;
  readonly address: string;
  readonly state: string;
}

/** What a Report has about targets. */
export interface TargetNews {
  readonly targets: ToldTarget[];
  readonly targetCount: number;
}

/** Targets in one Report at most. */
const MAX_TARGETS = 4096;
/** What they may take of a Report: the rest is for its other parts. */
const MAX_BYTES = LIMITS.reportBytes / 2;
/** Of one target, besides its words. */
const OVERHEAD_BYTES = 16;
/** Longer words are not told: the control plane would take the whole Report for malformed. */
const MAX_ADDRESS = 128;

/** Tells a control plane of the health of targets, once in every stream and whenever it has changed. */
export class TargetReporter {
  readonly #read: () => readonly ToldTarget[];
  #told: string | undefined;

  /** @param read All there are, the most interesting first. */
  constructor(read: () => readonly ToldTarget[]) {
    this.#read = read;
  }

  /** There is another stream, whose control plane knows nothing. */
  forget(): void {
    this.#told = undefined;
  }

  /** What the next Report has to have of it; nothing when it is known. */
  take(): TargetNews | undefined {
    const all = this.#read();
    // Nothing is what a control plane takes for granted.
    if (all.length === 0 && this.#told === undefined) return undefined;
    const targets = fitting(all);
    const news = { targets, targetCount: all.length };
    const text = JSON.stringify(news);
    if (text === this.#told) return undefined;
    this.#told = text;
    return news;
  }
}

function fitting(all: readonly ToldTarget[]): ToldTarget[] {
  const targets: ToldTarget[] = [];
  let bytes = 0;
  for (const { upstream, target, address, state } of all) {
    if (address.length > MAX_ADDRESS) continue;
    bytes += OVERHEAD_BYTES + upstream.length + target.length;
    bytes += address.length + state.length;
    if (bytes > MAX_BYTES || targets.length === MAX_TARGETS) break;
    targets.push({ upstream, target, address, state });
  }
  return targets;
}
