import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
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
  const left = `${file}.0123456789abcdef.tmp`;
  await writeFile(left, "left by a crash");
  await utimes(left, new Date(), new Date(Date.now() - 11 * 60_000));
  await writeFileDurably(file, "new");
  expect(await readFile(file, "utf8")).toBe("new");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["last-good.hfs"]);
});

test("what others have beside it is theirs, and nothing is written through their links", async () => {
  const file = path.join(directory, "out.hfs");
  const victim = path.join(directory, "victim");
  await writeFile(victim, "precious", { mode: 0o644 });
  await symlink(victim, `${file}.tmp`);
  await symlink(victim, file);
  await writeFileDurably(file, "new");
  expect(await readFile(victim, "utf8")).toBe("precious");
  expect((await stat(victim)).mode & 0o777).toBe(0o644);
  expect(await readFile(file, "utf8")).toBe("new");
});

test("several writers at once do not disturb each other: the file is one of theirs, whole", async () => {
  const file = path.join(directory, "shared");
  const contents = ["a", "b", "c", "d", "e", "f"].map((c) => c.repeat(300_000));
  await Promise.all(contents.map((each) => writeFileDurably(file, each)));
  expect(contents).toContain(await readFile(file, "utf8"));
  expect(await readdir(directory)).toEqual(["shared"]);
});

test("a file can be for others to read", async () => {
  const file = path.join(directory, "ca.crl");
  await writeFileDurably(file, "public", { mode: 0o644 });
  expect((await stat(file)).mode & 0o777).toBe(0o644);
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
