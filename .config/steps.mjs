import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The top of the checkout; every step runs there. */
export const top = fileURLToPath(new URL("..", import.meta.url));

const env = {
  ...process.env,
  PATH: [path.join(top, "node_modules", ".bin"), process.env["PATH"]].join(
    path.delimiter,
  ),
};

/**
 * Runs a command with its output shown. Ends this process with the command's
 * exit code when it fails, so that the first failure is the last line read.
 *
 * @param {string} command
 * @param {string[]} args
 */
export function run(command, ...args) {
  console.log(`> ${[command, ...args].join(" ")}`);
  const { status, error } = spawnSync(command, args, {
    cwd: top,
    env,
    stdio: "inherit",
  });
  if (status !== 0) fail(`${command} failed${error ? `: ${error}` : ""}`);
}

/**
 * What a command prints, without the final newline; undefined when it cannot
 * be run or fails.
 *
 * @param {string} command
 * @param {string[]} args
 * @returns {string | undefined}
 */
export function answer(command, ...args) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: top,
    env,
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * @param {string} message
 * @returns {never}
 */
export function fail(message) {
  console.error(message);
  process.exit(1);
}
