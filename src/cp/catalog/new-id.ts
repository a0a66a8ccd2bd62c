import { v7 } from "uuid";

const MAX_SEQUENCE = 0xff_ff_ff_ff;

/**
 * Makes UUIDs of version 7 that ascend, those of one millisecond included, as long as the process lives: routes that tie
 * in everything else go by ascending id, which so is the order they were created in.
 */
export class NewIds {
  readonly #now: () => number;
  readonly #random: (bytes: number) => Uint8Array;
  #msecs = -1;
  #sequence = 0;

  constructor(now: () => number, random: (bytes: number) => Uint8Array) {
    this.#now = now;
    this.#random = random;
  }

  /** The next one. */
  next(): string {
    const now = Math.max(0, Math.floor(this.#now()));
    // A clock that was set back must not bring back what was.
    if (now > this.#msecs) this.#start(now);
    else if (this.#sequence === MAX_SEQUENCE) this.#start(this.#msecs + 1);
    else this.#sequence++;
    return v7({
      msecs: this.#msecs,
      seq: this.#sequence,
      random: this.#random(16),
    });
  }

  #start(msecs: number): void {
    this.#msecs = msecs;
    // The upper half is left to count in.
    this.#sequence =
      Buffer.from(this.#random(4)).readUInt32BE(0) & 0x7f_ff_ff_ff;
  }
}
