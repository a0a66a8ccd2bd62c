import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/**
 * CPU time of a process with all its threads, in microseconds: what the scheduler counted, in nanoseconds, not in ticks.
 * Linux only; for every peer by the same means.
 */
export function cpuUs(pid: number): number {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`))
    try {
      const text = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8");
      ns += Number(text.split(" ")[0]);
    } catch {
      // A thread that has just ended.
    }
  return ns / 1000;
}

/** Resident memory of a process now, and the most since `resetPeak`. Bytes. */
export function residentBytes(pid: number): {
  readonly now: number;
  readonly peak: number;
} {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return { now: kib(status, "VmRSS"), peak: kib(status, "VmHWM") };
}

/** Begins anew to look for the peak. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function kib(status: string, name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status);
  return Number(line?.[1] ?? 0) * 1024;
}
