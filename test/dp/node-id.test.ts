import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { resolveNodeId } from "../../src/dp/node-id.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { RecordingLogger } from "../support/recording-logger.ts";
import { TempDir } from "../support/temp-dir.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Nothing says which node it is. */
const NOBODY = { given: undefined, certified: undefined };

test("a node keeps the id it once got, in a file that is the owner's alone", async () => {
  await using dir = await TempDir.make();
  const data = dir.join("dp");
  const id = await resolveNodeId(data, NOBODY, silentLogger);
  expect(id).toMatch(UUID);
  expect(await resolveNodeId(data, NOBODY, silentLogger)).toBe(id);
  expect((await stat(dir.join("dp", "node-id"))).mode & 0o777).toBe(0o600);
  // A directory of its own: another node.
  expect(await resolveNodeId(dir.join("other"), NOBODY, silentLogger)).not.toBe(
    id,
  );
});

test("the id that is given goes before the one that is kept, and does not replace it", async () => {
  await using dir = await TempDir.make();
  const kept = await resolveNodeId(dir.path, NOBODY, silentLogger);
  expect(
    await resolveNodeId(
      dir.path,
      { given: "edge-1", certified: undefined },
      silentLogger,
    ),
  ).toBe("edge-1");
  expect(await resolveNodeId(dir.path, NOBODY, silentLogger)).toBe(kept);
});

test.each(["", "a b", "../x", "x".repeat(129), "\0\0\0"])(
  "a file with %j in it is replaced, and that is said",
  async (content) => {
    await using dir = await TempDir.make();
    await writeFile(dir.join("node-id"), content);
    const logger = new RecordingLogger();
    const id = await resolveNodeId(dir.path, NOBODY, logger);
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
  await expect(resolveNodeId(dir.path, NOBODY, silentLogger)).rejects.toThrow(
    "EISDIR",
  );
});

test("an id that cannot be stored, on a disk that is full for one, is the node's until it ends, and that is said", async () => {
  const logger = new RecordingLogger();
  // Nobody can make a file there, root neither.
  const id = await resolveNodeId("/proc/self", NOBODY, logger);
  expect(id).toMatch(UUID);
  expect(logger.last("node_id.not_stored")).toMatchObject({
    level: "error",
    fields: { id },
  });
});

test("a node with a certificate of its own has the id in there, and no other", async () => {
  await using dir = await TempDir.make();
  const idOf = (certified: string, given?: string) =>
    resolveNodeId(dir.path, { given, certified }, silentLogger);
  expect(await idOf("edge-7")).toBe("edge-7");
  expect(await idOf("edge-7", "edge-7")).toBe("edge-7");
  await expect(idOf("edge-7", "edge-8")).rejects.toThrow(
    '--node-id edge-8: the certificate in --cluster-cert is of node "edge-7"',
  );
  await expect(idOf("The Data Planes")).rejects.toThrow(
    '--cluster-cert: the certificate is of "The Data Planes", which cannot be a node\'s id',
  );
});
