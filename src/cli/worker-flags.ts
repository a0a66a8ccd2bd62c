import { availableParallelism } from "node:os";
import type { WorkerOptions } from "../dp/open-gateway.ts";
import type { LogLevel } from "../runtime/logger.ts";
import { flag } from "./flags.ts";
import type { ValueType } from "./value-types.ts";

const MAX_WORKERS = 256;

const workerCount: ValueType<number | "auto"> = {
  placeholder: "N|auto",
  read(given) {
    if (given === "auto") return { ok: true, value: "auto" };
    const count = /^\d{1,3}$/.test(given) ? Number(given) : 0;
    return count >= 1 && count <= MAX_WORKERS
      ? { ok: true, value: count }
      : {
          ok: false,
          reason: `"${given}" is neither "auto" nor a number from 1 to ${MAX_WORKERS}`,
        };
  },
};

/** How many processes proxy. */
export const workerFlags = {
  workers: flag(workerCount, {
    summary:
      "How many processes proxy; auto is one for each core that there is. With 1, one process does everything.",
    default: "1",
  }),
};

/** What {@link workerFlags} say, as a data plane takes it. */
export function workerOptionsOf(given: {
  readonly workers: number | "auto";
  readonly logLevel: LogLevel;
}): { readonly workers?: WorkerOptions } {
  const { workers, logLevel } = given;
  const count = workers === "auto" ? availableParallelism() : workers;
  return count === 1 ? {} : { workers: { count, logLevel } };
}
