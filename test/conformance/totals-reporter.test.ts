import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";

const top = path.join(import.meta.dirname, "../..");

/** Runs these test files as a project of their own, with the reporters of ours. */
function runTests(files: Record<string, string>, ...args: string[]) {
  const folder = mkdtempSync(path.join(tmpdir(), "holdfast-totals-"));
  try {
    for (const [name, source] of Object.entries(files)) {
      writeFileSync(path.join(folder, name), source);
    }
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        path.join(top, "node_modules/vitest/vitest.mjs"),
        "run",
        "--globals",
        "--reporter=default",
        `--reporter=${path.join(top, ".config/totals-reporter.ts")}`,
        ...args,
      ],
      { cwd: folder, encoding: "utf8" },
    );
    const lines = stdout.trimEnd().split("\n");
    return { status, last: lines.at(-1), lines };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

it("the last line counts every test, after the skipped ones with their reasons", () => {
  const { status, last, lines } = runTests({
    "a.test.ts": `
      it("holds", () => {});
      it("does not hold", () => { throw new Error("no"); });
      it("has no reason", { skip: true }, () => {});
      it("waits", (context) => { context.skip("needs a frobnicator"); });
    `,
    "b.test.ts": `describe("b", () => { it("holds", () => {}); });`,
  });
  expect(last).toBe("tests: 2 passed, 1 failed, 2 skipped");
  expect(lines.slice(-3, -1)).toEqual([
    "skipped: a.test.ts > has no reason: no reason given",
    "skipped: a.test.ts > waits: needs a frobnicator",
  ]);
  expect(status).toBe(1);
});

it("a run in which all is well ends with 0", () => {
  const { status, last } = runTests({
    "a.test.ts": `it("holds", () => {});`,
  });
  expect(last).toBe("tests: 1 passed, 0 failed, 0 skipped");
  expect(status).toBe(0);
});

it.each([
  ["a file that cannot be imported", `import "./missing.ts";`],
  [
    "an error nobody handles",
    `it("holds", async () => { void Promise.reject(new Error("late")); await new Promise(setImmediate); });`,
  ],
  [
    "a failing hook",
    `describe("b", () => { beforeAll(() => { throw new Error("no"); }); it("holds", () => {}); });`,
  ],
])("%s counts as failed", (_what, source) => {
  const { status, last } = runTests({
    "a.test.ts": `it("holds", () => {});`,
    "b.test.ts": source,
  });
  expect(last).toMatch(/^tests: [12] passed, 1 failed, [01] skipped$/);
  expect(status).toBe(1);
});

it("a run that finds no test fails, even when that is allowed", () => {
  const { status, last } = runTests({}, "--passWithNoTests");
  expect(last).toBe("tests: 0 passed, 1 failed, 0 skipped");
  expect(status).toBe(1);
});
