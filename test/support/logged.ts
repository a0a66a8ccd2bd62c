import { eventually } from "./eventually.ts";
import type { HoldfastProcess } from "./holdfast-process.ts";

/** The lines of an event that a process has logged. */
export function logged(
  process: HoldfastProcess,
  event: string,
): readonly Readonly<Record<string, unknown>>[] {
  return process.log
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter((line) => line["event"] === event);
}

/** Waits for the first line of an event. */
export function untilLogged(
  process: HoldfastProcess,
  event: string,
  timeoutMs?: number,
): Promise<Readonly<Record<string, unknown>>> {
  return eventually(
    () => logged(process, event)[0],
    `"${event}" in the log`,
    timeoutMs,
  );
}
