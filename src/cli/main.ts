#!/usr/bin/env node
import { argv, env } from "node:process";
import { endProcess, processIo } from "./process-io.ts";

// Before all else is loaded: from here on a signal is a wish to end, and no longer the end.
const io = processIo();
const [{ COMMANDS }, { run }] = await Promise.all([
  import("./commands.ts"),
  import("./run.ts"),
]);
endProcess(await run(COMMANDS, argv.slice(2), env, io));
