import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { EXIT, type ExitCode, type Io } from "./io.ts";

/** A stop takes at most 10 s in all; what is left is for the process to end. */
const STOP_DEADLINE_MS = 9500;

/** What serving needs besides the process. */
export interface ServeDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Starts something, prints one line of JSON on standard output when it serves, and stops it when the process is asked to
 * end. What goes wrong is logged and ends with 1; that includes errors that nobody caught, which leave no state to trust.
 */
export async function serve<T extends AsyncDisposable>(
  io: Io,
  deps: ServeDependencies,
  start: () => Promise<T>,
  ready: (running: T) => Readonly<Record<string, unknown>>,
): Promise<ExitCode> {
  const { logger } = deps;
  const crash = (err: unknown) => {
    logger.error("process.crashed", { err });
    process.exit(EXIT.failed);
  };
  process.on("uncaughtException", crash);
  try {
    return await Promise.race([run(io, deps, start, ready), tooLate(io, deps)]);
  } catch (err) {
    logger.error(
      "process.failed",
      isExplained(err) ? { reason: err.message } : { err },
    );
    return EXIT.failed;
  } finally {
    process.off("uncaughtException", crash);
  }
}

async function run<T extends AsyncDisposable>(
  io: Io,
  deps: ServeDependencies,
  start: () => Promise<T>,
  ready: (running: T) => Readonly<Record<string, unknown>>,
): Promise<ExitCode> {
  const { logger } = deps;
  // Loading the program takes a second on a small machine: long enough for whoever started it to think better of it.
  if (io.stop.aborted) {
    logger.info("process.stopped", {
      reason: "asked to end before it started",
    });
    return EXIT.done;
  }
  const running = await start();
  try {
    io.stdout.write(
      `${JSON.stringify({ event: "ready", ...ready(running) })}\n`,
    );
    await stopped(io.stop);
    logger.info("process.stopping");
  } finally {
    await running[Symbol.asyncDispose]();
  }
  logger.info("process.stopped");
  return EXIT.done;
}

/** Whether an error was made to be read, with what to do: then where it was thrown says nothing more. */
function isExplained(err: unknown): err is Error {
  return (
    err instanceof Error &&
    ![Error, TypeError, RangeError, ReferenceError, SyntaxError].some(
      (plain) => err.constructor === plain,
    )
  );
}

/** Resolves when the process was asked to end and has not within the deadline. */
async function tooLate(
  io: Io,
  { clock, logger }: ServeDependencies,
): Promise<ExitCode> {
  await stopped(io.stop);
  await clock.sleep(STOP_DEADLINE_MS);
  logger.warn("process.stop_took_too_long", { after_ms: STOP_DEADLINE_MS });
  io.killSoon?.();
  return EXIT.done;
}

/** Resolves when a signal is, or was, aborted. */
export function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
