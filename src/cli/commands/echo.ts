import { command } from "../command.ts";
import { startEcho } from "../echo.ts";
import { list } from "../flags.ts";
import { systemClock } from "../../runtime/clock.ts";
import { createLogger } from "../../runtime/logger.ts";
import { logLevel } from "../process-flags.ts";
import { serve } from "../serve.ts";
import { hostPort } from "../value-types.ts";

/** `holdfast echo`, which `holdfast up` starts */
export const echo = command({
  name: "echo",
  summary:
    "Run the upstream of the quick start: it answers with what it was asked",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  hidden: true,
  help: [],
  examples: [],
  flags: {
    listen: list(hostPort, {
      summary: "Where it listens; each is an upstream of its own.",
      required: true,
    }),
    logLevel,
  },
  async run({ io }, flags) {
    return serve(
      io,
      { clock: systemClock, logger: createLogger(flags.logLevel) },
      () => startEcho(flags.listen),
      ({ addresses }) => ({ role: "echo", addresses }),
    );
  },
});
