import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { resolveNodeId } from "../../src/dp/node-id.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { RecordingLogger } from "../support/recording-logger.ts";
import { TempDir } from "../support/temp-dir.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

test("a node keeps the id it once got, in a file that is the owner's alone", async () => {
  await using dir = await TempDir.make();
  const data = dir.join("dp");
  const id = await resolveNodeId(data, undefined, silentLogger);
  expect(id).toMatch(UUID);
  expect(await resolveNodeId(data, undefined, silentLogger)).toBe(id);
  expect((await stat(dir.join("dp", "node-id"))).mode & 0o777).toBe(0o600);
  // A directory of its own: another node.
  expect(
    await resolveNodeId(dir.join("other"), undefined, silentLogger),
  ).not.toBe(id);
});

test("the id that is given goes before the one that is kept, and does not replace it", async () => {
  await using dir = await TempDir.make();
  const kept = await resolveNodeId(dir.path, undefined, silentLogger);
  expect(await resolveNodeId(dir.path, "edge-1", silentLogger)).toBe("edge-1");
  expect(await resolveNodeId(dir.path, undefined, silentLogger)).toBe(kept);
});

test.each(["", "a b", "../x", "x".repeat(129), "\0\0\0"])(
  "a file with %j in it is replaced, and that is said",
  async (content) => {
    await using dir = await TempDir.make();
    await writeFile(dir.join("node-id"), content);
    const logger = new RecordingLogger();
    const id = await resolveNodeId(dir.path, undefined, logger);
    expect(id).toMatch(UUID);
    expect(logger.last("node_id.invalid")).toMatchObject({
      level: "warn",
      fields: { file: dir.join("node-id"), content },
    });
    expect((await readFile(dir.join("node-id"), "utf8")).trim()).toBe(id);
  },
);

test("a file that cannot be read is an error, not a new node", async () => {
  await using dir = await TempDir.make();
  await mkdir(dir.join("node-id"));
  await expect(
    resolveNodeId(dir.path, undefined, silentLogger),
  ).rejects.toThrow("EISDIR");
});
