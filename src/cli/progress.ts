import { systemClock, type Clock } from "../runtime/clock.ts";
import type { Io, Output } from "./io.ts";

/** What takes less is not worth a line. */
const TICK_MS = 1000;

/** Does something that may take long; on a terminal, from the first second on, a line says what and for how long. */
export async function withElapsed<T>(
  { stderr }: Pick<Io, "stderr">,
  what: string,
  work: () => Promise<T>,
  clock: Clock = systemClock,
): Promise<T> {
  const progress = new Progress(stderr);
  const started = clock.monotonic();
  const tick = () => {
    const seconds = Math.round((clock.monotonic() - started) / 1000);
    progress.show(`${what} … ${seconds} s`);
    timer = clock.setTimer(TICK_MS, tick);
  };
  let timer = clock.setTimer(TICK_MS, tick);
  try {
    return await work();
  } finally {
    timer.cancel();
    progress.clear();
  }
}

/** One line on a terminal that is written over and over; nothing elsewhere. */
export class Progress {
  readonly #out: Output;
  #shown = "";

  constructor(out: Output) {
    this.#out = out;
  }

  show(line: string): void {
    if (this.#out.isTTY !== true || line === this.#shown) return;
    this.#out.write(`\r${line.padEnd(this.#shown.length)}`);
    this.#shown = line;
  }

  clear(): void {
    if (this.#shown === "") return;
    this.#out.write(`\r${" ".repeat(this.#shown.length)}\r`);
    this.#shown = "";
  }
}
