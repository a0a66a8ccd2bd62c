import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../../src/sync/limits.ts";

/** Waits until a next commit is published at once, and not after the pace. */
export function calm(): Promise<void> {
  return sleep(LIMITS.paceMs + 15);
}
