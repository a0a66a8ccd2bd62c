import { CRASHES } from "../replica/trials.ts";

/** A state that a worker has served for so long, and then answered, has proved itself. */
export const PROVED_MS = 10_000;

/**
 * Keeps account of the workers that end with a state that has not proved itself, as the crash guard does of processes:
 * three, and it is to blame.
 */
export class CrashCount {
  #root: string | undefined;
  #crashes = 0;

  /** From now on this state is on trial. */
  begin(root: string): void {
    this.#root = root;
    this.#crashes = 0;
  }

  /** A worker is alive that has served a state for so long. */
  alive(root: string, servedMs: number): void {
    if (root === this.#root && servedMs >= PROVED_MS) this.#root = undefined;
  }

  /** A worker has crashed with a state. True for the one that proves it guilty. */
  crashed(root: string): boolean {
    if (root !== this.#root) return false;
    this.#crashes++;
    if (this.#crashes < CRASHES) return false;
    this.#root = undefined;
    return true;
  }
}
