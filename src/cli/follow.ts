import { systemClock } from "../runtime/clock.ts";
import type { ControlPlaneClient } from "./client.ts";
import { EXIT, type ExitCode, type Io } from "./io.ts";
import { isConnectionLoss } from "./rpc-error.ts";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;

/**
 * Hands over what a stream says until the process is asked to end, which is how it ends well. A connection that is lost is
 * opened again; one that never was, or an answer that refuses, fails.
 */
export async function follow<T>(
  io: Io,
  client: ControlPlaneClient,
  open: (signal: AbortSignal) => AsyncIterable<T>,
  handle: (event: T) => void,
): Promise<ExitCode> {
  let everConnected = false;
  let retryMs = FIRST_RETRY_MS;
  for (;;) {
    try {
      for await (const event of open(io.stop)) {
        if (everConnected && retryMs > FIRST_RETRY_MS)
          io.stderr.write("connected again\n");
        everConnected = true;
        retryMs = FIRST_RETRY_MS;
        handle(event);
      }
    } catch (error) {
      if (io.stop.aborted) return EXIT.done;
      if (!everConnected || !isConnectionLoss(error)) throw error;
    }
    if (retryMs === FIRST_RETRY_MS)
      io.stderr.write(
        `lost the control plane at ${client.admin}, trying again\n`,
      );
    try {
      await systemClock.sleep(retryMs, io.stop);
    } catch {
      // Only the process being asked to end wakes it early.
      return EXIT.done;
    }
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  }
}
