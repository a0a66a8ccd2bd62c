import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeFileDurably } from "../../src/runtime/durable-file.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "holdfast-durable-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("a file is replaced, belongs to its owner alone, and nothing is left beside it", async () => {
  const file = path.join(directory, "last-good.hfs");
  await writeFile(file, "old", { mode: 0o644 });
  await writeFile(`${file}.tmp`, "left by a crash", { mode: 0o644 });
  await writeFileDurably(file, "new");
  expect(await readFile(file, "utf8")).toBe("new");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["last-good.hfs"]);
});

test("content can come in parts", async () => {
  const file = path.join(directory, "parts");
  await writeFileDurably(
    file,
    (async function* () {
      yield Buffer.from("one ");
      yield Buffer.from("two");
    })(),
  );
  expect(await readFile(file, "utf8")).toBe("one two");
});

test("a failure half way leaves the old content and no debris", async () => {
  const file = path.join(directory, "kept");
  await writeFileDurably(file, "old");
  const broken = writeFileDurably(
    file,
    (function* () {
      yield Buffer.from("half");
      throw new Error("source broke");
    })(),
  );
  await expect(broken).rejects.toThrow("source broke");
  expect(await readFile(file, "utf8")).toBe("old");
  expect(await readdir(directory)).toEqual(["kept"]);
});

test("a rename that fails leaves no debris", async () => {
  const file = path.join(directory, "taken");
  await writeFileDurably(path.join(directory, "other"), "x");
  await mkdir(path.join(file, "full"), { recursive: true });
  await expect(writeFileDurably(file, "x")).rejects.toThrow();
  expect((await readdir(directory)).sort()).toEqual(["other", "taken"]);
});

test("a directory that is not there is named", async () => {
  await chmod(directory, 0o700);
  await expect(
    writeFileDurably(path.join(directory, "missing", "f"), "x"),
  ).rejects.toThrow(/missing/);
});
