import type { RequiredTexts } from "./required-texts.ts";

/** Of a route that needs no pairs of letters. */
export const NO_PAIRS = -1;

const PAIRS = 256;

/**
 * Three pairs of letters that a text needs, each as one of 256 numbers, in one number. Where there are fewer, one stands
 * for the others.
 */
export function neededPairs({ texts }: RequiredTexts): number {
  const [text = ""] = texts;
  if (text.length < 2) return NO_PAIRS;
  const pair = (at: number): number =>
    numberOf(text.charCodeAt(at), text.charCodeAt(at + 1));
  const last = text.length - 2;
  return pair(0) | (pair(last >> 1) << 8) | (pair(last) << 16);
}

/** The pairs of the path that was looked at last: only one is looked at at a time, from its beginning to its end. */
const BITS = new Int32Array(PAIRS / 32);

/** The pairs of letters in one path, found when they are first asked for. Good until another path is asked about. */
export class PathPairs {
  readonly #path: string;
  #found = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether the path may have all these pairs; false means that it has not. */
  mayHave(pairs: number): boolean {
    if (pairs === NO_PAIRS) return true;
    if (!this.#found) this.#find();
    return (
      this.#has(pairs & 255) &&
      this.#has((pairs >> 8) & 255) &&
      this.#has((pairs >> 16) & 255)
    );
  }

  #has(pair: number): boolean {
    return ((BITS[pair >> 5] ?? 0) & (1 << (pair & 31))) !== 0;
  }

  #find(): void {
    const path = this.#path;
    BITS.fill(0);
    let before = path.charCodeAt(0);
    for (let i = 1; i < path.length; i++) {
      const code = path.charCodeAt(i);
      const pair = numberOf(before, code);
      BITS[pair >> 5] = (BITS[pair >> 5] ?? 0) | (1 << (pair & 31));
      before = code;
    }
    this.#found = true;
  }
}

/** The same for upper and lower case, so that it serves expressions without regard to case too. */
function numberOf(first: number, second: number): number {
  return (lower(first) * 37 + lower(second)) & (PAIRS - 1);
}

function lower(code: number): number {
  return code >= 65 && code <= 90 ? code + 32 : code;
}
