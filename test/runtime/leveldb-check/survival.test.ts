import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const SCRIPT = fileURLToPath(
  new URL("../../support/damaged-tables-process.ts", import.meta.url),
);

test("A process survives tables that are damaged: a replica gives way to its second copy, a store is refused", async () => {
  const directory = await temporaryDirectory();
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", SCRIPT, directory],
    { timeout: 30_000 },
  );
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as readonly [string, string, string]);
  const of = (wanted: string): readonly (readonly [string, string, string])[] =>
    lines.filter(([name]) => name === wanted);
  expect(of("replica").length).toBeGreaterThanOrEqual(6);
  for (const [, , outcome] of of("replica")) expect(outcome).toBe("last-good");
  expect(of("store").length).toBeGreaterThanOrEqual(6);
  for (const [, table, outcome] of of("store")) {
    expect(outcome).toContain(
      `the store in ${path.join(directory, "changed", "database")} is damaged: `,
    );
    expect(outcome).toMatch(
      new RegExp(
        `${table}: its (data|index) block at byte \\d+, of \\d+ bytes, has checksum`,
      ),
    );
    expect(outcome).toContain("Put a backup of that directory in its place");
    expect(outcome).not.toContain("\n");
  }
});
