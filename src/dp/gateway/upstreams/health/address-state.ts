import { UNJUDGED, type Judgement } from "./judgement.ts";

/** What names an address of an upstream, over revisions. */
export interface AddressKey {
  /** The upstream's id. */
  readonly upstream: string;
  /** "host:port", as the target is named. */
  readonly target: string;
  /** "ip:port" */
  readonly address: string;
}

/**
 * What this process knows of one address of an upstream. It outlives revisions: balancers of the next one go on with it,
 * and requests under way count where they began.
 */
export class AddressState {
  readonly key: AddressKey;
  judgement: Judgement = UNJUDGED;
  /** Requests under way. */
  requests = 0;
  /** Peak-sensitive moving average of the time to an answer, in milliseconds; undefined before the first. */
  latencyMs: number | undefined;
  /** When that was last moved, by the monotonic clock. */
  latencyAtMs = 0;
  /** When somebody last had a use for it, by the monotonic clock. */
  usedMs = 0;

  constructor(key: AddressKey) {
    this.key = key;
  }

  /** Whether it takes requests. */
  get healthy(): boolean {
    return this.judgement.healthy;
  }
}
