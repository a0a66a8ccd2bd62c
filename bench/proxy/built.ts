import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Translates sources and benches as they are shipped. What runs a bench here translates while it loads, and gives every
 * function a name as it is made: a cost for each request that the shipped code does not have.
 *
 * @returns The file to start the parts of a bench with.
 */
export async function buildBench(): Promise<string> {
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
