import { LOG_LEVELS } from "../runtime/logger.ts";
import { flag, toggle } from "./flags.ts";
import { UsageError } from "./io.ts";
import { oneOf } from "./value-types.ts";

/** How much a control plane or data plane logs. */
export const logLevel = flag(oneOf(LOG_LEVELS), {
  summary: "The least important log lines that are written.",
  default: "info",
});

/** The only way, so far, that control plane and data plane talk. */
export const insecureSync = toggle({
  summary:
    "Connect control plane and data planes without TLS, on loopback addresses only. Required: there is no other way in this version.",
});

/** Ends with 2 unless it was said that the stream may go without TLS. */
export function needsInsecureSync(role: string, given: boolean): void {
  if (given) return;
  throw new UsageError([
    "--insecure-sync is needed: this version connects control plane and data planes without TLS only, which sends the configuration with its secrets in clear and lets anybody on this machine connect as a data plane. " +
      `Give it to say that this is wanted: holdfast ${role} --insecure-sync …`,
  ]);
}
