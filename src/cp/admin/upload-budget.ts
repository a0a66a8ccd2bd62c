import { ConfigError } from "../../model/violation.ts";

/** What all requests that are coming in parts may hold together. */
const ALL_BYTES = 512 << 20;

/** What those of one caller may hold: one request of the largest size. */
const CALLER_BYTES = 256 << 20;

/** What those of callers who may write nowhere may hold together, so that they leave room for one who may. */
const READERS_BYTES = 256 << 20;

/** Who sends a request in parts. */
export interface UploadOwner {
  /** Empty: nobody has to say who they are, and nobody is told from another. */
  readonly caller: string;
  /** Whether it may change anything, in whatever workspace. */
  readonly mayWrite: boolean;
}

/** Something that is held together, up to a limit. */
interface Pot {
  held: number;
  readonly limit: number;
  /** What stands in the way when there is no more. */
  readonly full: string;
}

/** Memory for requests that come in parts, which are held until they are whole and decoded. Nobody gets all of it. */
export class UploadBudget {
  readonly #all: Pot = {
    held: 0,
    limit: ALL_BYTES,
    full: `requests in parts have ${ALL_BYTES} bytes of room, and too many large ones are coming in at the same time: try again when some are done`,
  };
  readonly #readers: Pot = {
    held: 0,
    limit: READERS_BYTES,
    full: `requests in parts of callers who may write nowhere have ${READERS_BYTES} bytes of room, and too many large ones are coming in at the same time: try again when some are done`,
  };
  readonly #callers = new Map<string, Pot>();

  /** A share for one request, which takes nothing yet. */
  share(owner: UploadOwner): UploadShare {
    const { caller, mayWrite } = owner;
    const pots = [this.#all];
    if (!mayWrite) pots.push(this.#readers);
    if (caller !== "") pots.push(this.#potOf(caller));
    return new UploadShare(pots, () => {
      if (this.#callers.get(caller)?.held === 0) this.#callers.delete(caller);
    });
  }

  #potOf(caller: string): Pot {
    let pot = this.#callers.get(caller);
    if (pot === undefined) {
      pot = {
        held: 0,
        limit: CALLER_BYTES,
        full: `requests in parts by "${caller}" have ${CALLER_BYTES} bytes of room, and several of them are coming in at the same time: send the next one when they are done`,
      };
      this.#callers.set(caller, pot);
    }
    return pot;
  }
}

/** What one request holds of the room for all. */
export class UploadShare {
  readonly #pots: readonly Pot[];
  readonly #onRelease: () => void;
  #bytes = 0;

  constructor(pots: readonly Pot[], onRelease: () => void) {
    this.#pots = pots;
    this.#onRelease = onRelease;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes room for more. @throws ConfigError RESOURCE_EXHAUSTED, having taken none. */
  take(bytes: number): void {
    const full = this.#pots.find(({ held, limit }) => held + bytes > limit);
    if (full !== undefined)
      throw new ConfigError("resource_exhausted", full.full);
    this.#bytes += bytes;
    for (const pot of this.#pots) pot.held += bytes;
  }

  /** Gives back what was taken. */
  release(): void {
    for (const pot of this.#pots) pot.held -= this.#bytes;
    this.#bytes = 0;
    this.#onRelease();
  }
}
