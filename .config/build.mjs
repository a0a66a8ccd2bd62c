// src -> dist. Starts from nothing, so that a file deleted in src is gone in dist.
import { chmodSync, existsSync, rmSync } from "node:fs";
import path from "node:path";
import { run, top } from "./steps.mjs";

rmSync(path.join(top, "dist"), { recursive: true, force: true });
run("tsc", "-p", ".config/tsconfig.build.json");

const command = path.join(top, "dist/cli/main.js");
if (existsSync(command)) chmodSync(command, 0o755);
