// Everything that can be said about the tree without running it. Stops at the first complaint. The linter takes as long as
// all the rest together, which runs beside it.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ANNOUNCEMENT, breakingBase } from "./breaking-base.mjs";
import { answer, fail, run, runBeside, top } from "./steps.mjs";

const scratch = mkdtempSync(path.join(tmpdir(), "holdfast-check-"));
process.on("exit", () => {
  rmSync(scratch, { recursive: true, force: true });
});

await Promise.all([runBeside("npm", "run", "--silent", "lint"), allElse()]);
console.log("check: all good");

async function allElse() {
  generatedCodeIsCurrent();
  await runBeside("buf", "lint");
  await runBeside("buf", "format", "proto", "--diff", "--exit-code");
  nothingBreaks();
  await runBeside("prettier", "--check", "--log-level", "warn", ".");
  await runBeside("tsc", "--noEmit");
  await runBeside("knip");
  await runBeside("knip", "--cycles");
}

/** Compares with a fresh generation, not with git, so that it also holds before a commit. */
function generatedCodeIsCurrent() {
  run("buf", "generate", "--output", scratch);
  const committed = files(path.join(top, "src/gen"));
  const fresh = files(path.join(scratch, "src/gen"));
  const stale = [...new Set([...committed.keys(), ...fresh.keys()])]
    .filter((name) => committed.get(name) !== fresh.get(name))
    .sort();
  if (stale.length > 0) {
    fail(
      `src/gen is stale, run "npm run gen":\n${stale.map((name) => `  ${name}`).join("\n")}`,
    );
  }
}

/** The base is read through git archive, which works in a worktree too. */
function nothingBreaks() {
  const base = breakingBase();
  if (typeof base === "string") {
    console.log(`> buf breaking: skipped, ${base}`);
    return;
  }
  const { commit, what, announced } = base;
  if (announced !== undefined) {
    console.log(`> buf breaking: announced by ${announced}`);
    return;
  }
  console.log(`> buf breaking: compared with ${what}`);
  const archive = path.join(scratch, "base.tar");
  run("git", "archive", "--format=tar", `--output=${archive}`, commit);
  if (answer("buf", "breaking", "--against", archive) !== undefined) return;
  console.log(
    `If it is meant, a line "${ANNOUNCEMENT} why" in a commit's message says so:`,
  );
  run("buf", "breaking", "--against", archive);
}

/**
 * Relative name to content of every file below a folder; empty when there is no such folder.
 *
 * @param {string} folder
 * @returns {Map<string, string>}
 */
function files(folder) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const name of names(folder)) {
    found.set(name, readFileSync(path.join(folder, name), "utf8"));
  }
  return found;
}

/** @param {string} folder */
function names(folder) {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) =>
        path.relative(folder, path.join(entry.parentPath, entry.name)),
      );
  } catch {
    return [];
  }
}
