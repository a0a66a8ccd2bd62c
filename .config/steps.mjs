import { spawn, spawnSync } from "node:child_process";
import { writeSync } from "node:fs";
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

/** @type {Set<import("node:child_process").ChildProcess>} */
const beside = new Set();
process.on("exit", () => {
  for (const child of beside) child.kill();
});

/**
 * As {@link run}, while others run too: what it prints is shown in one piece
 * when it has ended.
 *
 * @param {string} command
 * @param {string[]} args
 */
export async function runBeside(command, ...args) {
  const child = spawn(command, args, {
    cwd: top,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  beside.add(child);
  /** @type {Buffer[]} */
  const output = [];
  /** @param {Buffer} part */
  const keep = (part) => {
    output.push(part);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  /** @type {string | undefined} */
  let problem;
  await new Promise((resolve) => {
    child.once("error", (error) => {
      problem = `: ${error}`;
      resolve(undefined);
    });
    child.once("close", (code) => {
      if (code !== 0) problem = "";
      resolve(undefined);
    });
  });
  beside.delete(child);
  console.log(`> ${[command, ...args].join(" ")}`);
  writeSync(1, Buffer.concat(output));
  if (problem !== undefined) fail(`${command} failed${problem}`);
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
