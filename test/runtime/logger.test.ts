import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { LOG_LEVELS, silentLogger } from "../../src/runtime/logger.ts";

/** Runs code with a logger of a level in a process of its own; its lines on standard error, and its standard output. */
function run(level: string, code: string): { lines: unknown[]; out: string } {
  const logger = new URL("../../src/runtime/logger.ts", import.meta.url).href;
  const { stderr, stdout } = spawnSync(
    process.execPath,
    [
      "--import",
      "tsx",
      "--input-type=module",
      "-e",
      `import { createLogger } from ${JSON.stringify(logger)}; const logger = createLogger(${JSON.stringify(level)}); ${code}`,
    ],
    { timeout: 20_000, encoding: "utf8" },
  );
  return {
    lines: stderr
      .split("\n")
      .filter((line) => line !== "")
      .map((line): unknown => JSON.parse(line)),
    out: stdout,
  };
}

const ALL = LOG_LEVELS.map((level) => `logger.${level}("it.${level}");`).join(
  "",
);

test.each(LOG_LEVELS.map((level, i) => [level, i] as const))(
  "from %s up there is a line of JSON for each event on standard error, and nothing on standard output",
  (level, from) => {
    const { lines, out } = run(level, ALL);
    expect(lines).toEqual(
      LOG_LEVELS.slice(from).map((each) => ({
        level: each,
        event: `it.${each}`,
        time: expect.stringMatching(
          /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
        ) as unknown,
      })),
    );
    expect(out).toBe("");
  },
  25_000,
);

test("fields are in the line, those of a child too, errors with stack and causes", () => {
  const { lines } = run(
    "info",
    `logger.child({ session: "s", peer: "p" }).warn("it.failed", {
       n: 1, text: "a\\nb",
       err: new Error("outer", { cause: new Error("inner") }),
     });`,
  );
  expect(lines).toMatchObject([
    {
      level: "warn",
      event: "it.failed",
      session: "s",
      peer: "p",
      n: 1,
      text: "a\nb",
      err: { message: expect.stringContaining("outer") as unknown },
    },
  ]);
  expect(JSON.stringify(lines)).toContain("inner");
}, 25_000);

test("a revision, which is a bigint, can be logged", () => {
  expect(
    run("info", 'logger.info("it.applied", { revision: 12n });').lines,
  ).toMatchObject([{ event: "it.applied", revision: 12 }]);
}, 25_000);

test("the last line before a crash is there", () => {
  expect(
    run(
      "info",
      'logger.error("it.crashed"); process.kill(process.pid, "SIGKILL");',
    ).lines,
  ).toMatchObject([{ event: "it.crashed" }]);
}, 25_000);

test("the silent one says nothing", () => {
  silentLogger.error("nothing");
  silentLogger.child({ a: 1 }).error("nothing");
});
