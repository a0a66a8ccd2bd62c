#!/usr/bin/env node
import { argv, env } from "node:process";
import { COMMANDS } from "./commands.ts";
import { endProcess, processIo } from "./process-io.ts";
import { run } from "./run.ts";

endProcess(await run(COMMANDS, argv.slice(2), env, processIo()));
