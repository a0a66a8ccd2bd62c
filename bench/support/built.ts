import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

let building: Promise<string> | undefined;

/**
 * Translates sources and benches as they are shipped, once. What runs a bench here translates while it loads, and gives
 * every function a name as it is made: a cost for each request and message that the shipped code does not have.
 *
 * @returns The file to start the parts of a bench with.
 */
export function buildBench(): Promise<string> {
  building ??= build();
  return building;
}

async function build(): Promise<string> {
  // It has been translated already.
  if (import.meta.url.endsWith(".js"))
    return fileURLToPath(new URL("../main.js", import.meta.url));
  const top = fileURLToPath(new URL("../..", import.meta.url));
  await run(
    process.execPath,
    ["node_modules/typescript/bin/tsc", "-p", ".config/tsconfig.bench.json"],
    { cwd: top },
  );
  return fileURLToPath(
    new URL("../../dist/bench/bench/main.js", import.meta.url),
  );
}
