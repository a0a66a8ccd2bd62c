import {
  chmod,
  mkdir,
  readdir,
  readFile,
  stat,
  writeFile,
} from "node:fs/promises";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startControlPlane } from "../../src/cp/control-plane.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import {
  readStateFile,
  writeStateFile,
} from "../../src/dp/replica/last-good.ts";
import { cursorOf } from "../../src/model/cursor.ts";
import { encodeResource } from "../../src/model/encode.ts";
import { runSlices } from "../../src/model/slices.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { runCli } from "../support/cli.ts";
import { id, resource } from "../support/resources.ts";
import { TempDir } from "../support/temp-dir.ts";

let plane: CliControlPlane;
let file: string;
beforeAll(async () => {
  plane = await CliControlPlane.start();
  await plane.apply(`
_format_version: "3.0"
services:
- name: pay
  url: http://pay.internal:8080
  routes: [{ name: pay, paths: [/pay] }]
consumers:
- username: ann
  keyauth_credentials: [{ key: secret-of-ann }]
`);
  file = plane.dir.join("backup.hfs");
  const done = await plane.run(["export-snapshot", "-o", file]);
  expect(done.stderr).toContain("wrote revision 1");
});
afterAll(() => plane[Symbol.asyncDispose]());

const restore = (source: string, dataDir: string, ...more: string[]) =>
  runCli(["restore", source, "--data-dir", dataDir, ...more]);

/** A snapshot file with these values by key. */
async function fileOf(
  path: string,
  entries: Readonly<Record<string, Uint8Array>>,
  workspace = "default",
): Promise<string> {
  const puts = Object.entries(entries).map(([key, value]) => ({ key, value }));
  const snapshot = runSlices(
    Snapshot.empty(workspace).applySlices({ puts, deletes: [] }),
  );
  const cursor = cursorOf("e", 7n, snapshot.root);
  await writeStateFile(path, { cursor, snapshot }, 0);
  return path;
}

test("what was exported is there again, byte for byte, in a history of its own", async () => {
  await using dir = await TempDir.make();
  const dataDir = dir.join("cp");
  const { code, stdout, stderr } = await restore(file, dataDir);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^restored revision 1 .* with 4 entries\nto .*store\nas revision 1 /,
  );
  const before = (await plane.json("nodes")) as object;
  expect(before).toEqual({ nodes: [] });

  const loopback = { host: "127.0.0.1", port: 0 };
  await using restored = await startControlPlane(
    {
      adminListen: loopback,
      syncListen: loopback,
      dataDir,
      insecureSync: true,
      build: "test",
    },
    { clock: systemClock, logger: silentLogger },
  );
  const { admin } = restored.addresses;
  const on = (...argv: string[]) => runCli([...argv, "--admin", admin]);
  const again = dir.join("again.hfs");
  expect((await on("export-snapshot", "-o", again)).code).toBe(0);
  const dumps = await Promise.all([on("dump"), plane.run(["dump"])]);
  expect(dumps[0].stdout).toBe(dumps[1].stdout);
  const history = await on("history", "-o", "json");
  const { revisions } = JSON.parse(history.stdout) as {
    revisions: {
      author: string;
      message: string;
      cursor: { epoch: string; root: string };
    }[];
  };
  expect(revisions).toHaveLength(1);
  expect(revisions[0]?.author).toBe("restore");
  const theirs = (await plane.json("history")) as {
    revisions: typeof revisions;
  };
  expect(revisions[0]?.cursor.root).toBe(theirs.revisions[0]?.cursor.root);
  const { epoch } = theirs.revisions[0]!.cursor;
  expect(revisions[0]?.cursor.epoch).not.toBe(epoch);
  expect(revisions[0]?.message).toContain(`epoch ${epoch}`);
  // And it is a control plane like any other.
  expect((await on("delete", "route", "pay", "--yes")).code).toBe(0);
});

test("a store that is there is never overwritten, nor one that is in use", async () => {
  await using dir = await TempDir.make();
  const dataDir = dir.join("cp");
  expect((await restore(file, dataDir)).code).toBe(0);
  const { directory, epoch } = await storeOf(dataDir);
  const refused = await restore(file, dataDir);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`there is a store in ${directory} already`);
  expect((await storeOf(dataDir)).epoch).toBe(epoch);
  const running = await restore(file, plane.dir.join("cp"));
  expect(running.code).toBe(1);
  expect(running.stderr).toContain("stop the control plane that uses it");
  expect(await readdir(dataDir)).toEqual(["store"]);
});

async function storeOf(
  dataDir: string,
  workspace = "default",
): Promise<{ directory: string; epoch: string; revision: bigint }> {
  const directory = `${dataDir}/store`;
  await using store = await LevelStore.open({ directory });
  const { epoch, revision } = (await store.load(workspace)).cursor;
  return { directory, epoch, revision };
}

test("what an interrupted restore left is no store, and is made away with", async () => {
  await using dir = await TempDir.make();
  const dataDir = dir.join("cp");
  {
    await using store = await LevelStore.open({
      directory: dir.join("cp/store.restoring"),
    });
    await store.load("default");
    // Still at work.
    const { code, stderr } = await restore(file, dataDir);
    expect(code).toBe(1);
    expect(stderr).toContain("another restore is making a store");
  }
  expect((await restore(file, dataDir)).code).toBe(0);
  expect(await readdir(dataDir)).toEqual(["store"]);
  await mkdir(dir.join("damaged/store.restoring"), { recursive: true });
  await writeFile(dir.join("damaged/store.restoring/CURRENT"), "nonsense");
  expect((await restore(file, dir.join("damaged"))).code).toBe(0);
});

test("directory and files are the owner's alone", async () => {
  await using dir = await TempDir.make();
  await mkdir(dir.join("cp"));
  await chmod(dir.join("cp"), 0o755);
  expect((await restore(file, dir.join("cp"))).code).toBe(0);
  for (const each of ["cp", "cp/store"])
    expect((await stat(dir.join(each))).mode & 0o777).toBe(0o700);
  for (const each of await readdir(dir.join("cp/store")))
    expect((await stat(dir.join(`cp/store/${each}`))).mode & 0o777).toBe(0o600);
});

test("a directory that is used for something else is refused and left as it is", async () => {
  await using dir = await TempDir.make();
  const project = dir.join("project");
  await mkdir(project);
  await writeFile(dir.join("project", "run.sh"), "#!/bin/sh\n");
  for (const each of [project, dir.join("project", "run.sh")])
    await chmod(each, 0o755);
  const { code, stderr } = await restore(file, project);
  expect(code).toBe(1);
  expect(stderr).toContain(
    `${project} is no control plane's directory, there are other things in it: "run.sh".`,
  );
  expect(await readdir(project)).toEqual(["run.sh"]);
  for (const each of [project, dir.join("project", "run.sh")])
    expect((await stat(each)).mode & 0o777).toBe(0o755);
  // A volume of its own, with a store that was moved away.
  for (const name of ["lost+found", "store.broken"])
    await mkdir(dir.join("volume", name), { recursive: true });
  expect((await restore(file, dir.join("volume"))).code).toBe(0);
  expect((await stat(dir.join("volume"))).mode & 0o777).toBe(0o700);
});

test("a file that is missing, cut off, changed or something else is refused, and nothing is written", async () => {
  await using dir = await TempDir.make();
  const dataDir = dir.join("cp");
  const whole = await readFile(file);
  const cut = dir.join("cut.hfs");
  await writeFile(cut, whole.subarray(0, -1));
  const changed = dir.join("changed.hfs");
  const flipped = Buffer.from(whole);
  flipped[flipped.length - 1]! ^= 1;
  await writeFile(changed, flipped);
  const other = dir.join("other.hfs");
  await writeFile(other, "# not a snapshot\nservices: []\n");
  for (const [source, message] of [
    [dir.join("none.hfs"), `there is no file ${dir.join("none.hfs")}`],
    [cut, `${cut} `],
    [changed, "has another hash"],
    [other, `${other} is not a snapshot file`],
    [dir.join(""), "is no regular file"],
  ] as const) {
    const { code, stderr } = await restore(source, dataDir);
    expect(stderr).toContain(message);
    expect(code).toBe(1);
    expect(stderr).not.toMatch(/\n {4}at /);
  }
  expect((await readdir(dir.join(""))).sort()).not.toContain("cp");
});

test("with a key, only a file that is signed for it is restored", async () => {
  await using dir = await TempDir.make();
  const pem = (key: KeyObject) =>
    key.export({
      type: key.type === "private" ? "pkcs8" : "spki",
      format: "pem",
    });
  const [ours, theirs] = [0, 1].map(() => generateKeyPairSync("ed25519"));
  const keyFile = dir.join("signing.pub");
  await writeFile(keyFile, pem(ours!.publicKey));
  const signedBy = async (key: KeyObject, name: string): Promise<string> => {
    const state = await readStateFile(file);
    await writeStateFile(dir.join(name), state!, 5, key);
    return dir.join(name);
  };
  const restoreSigned = (source: string) =>
    restore(source, dir.join("cp"), "--verify-key", keyFile);
  const unsigned = await restoreSigned(file);
  expect([unsigned.code, unsigned.stderr]).toEqual([
    1,
    `holdfast restore: ${file} is not signed: nothing was changed\n`,
  ]);
  const foreign = await restoreSigned(
    await signedBy(theirs!.privateKey, "theirs.hfs"),
  );
  expect(foreign.code).toBe(1);
  expect(foreign.stderr).toContain("is signed by key ");
  await writeFile(dir.join("secret.pem"), pem(ours!.privateKey));
  const wrongKey = await restore(
    file,
    dir.join("cp"),
    "--verify-key",
    dir.join("secret.pem"),
  );
  expect(wrongKey.stderr).toContain("is a private key");
  const source = await signedBy(ours!.privateKey, "ours.hfs");
  const { code, stderr } = await restoreSigned(source);
  expect([code, stderr]).toEqual([0, ""]);
});

test("content that the catalog would not have accepted is refused, all of it at once", async () => {
  await using dir = await TempDir.make();
  const value = (kind: "service" | "route", fields: object) =>
    encodeResource(resource(kind, fields as { name: string }));
  const bad = await fileOf(dir.join("bad.hfs"), {
    [`service/${id(1)}`]: Buffer.from([0xff, 0xff]),
    [`service/${id(2)}`]: value("service", { id: id(3), name: "x", host: "h" }),
    [`service/${id(4)}`]: value("service", { id: id(4), name: "y", host: "" }),
    [`service/${id(5)}`]: value("service", { id: id(5), name: "z", host: "h" }),
    [`service/${id(6)}`]: value("service", { id: id(6), name: "z", host: "h" }),
    [`route/${id(7)}`]: value("route", {
      id: id(7),
      name: "r",
      paths: ["/"],
      service: { id: id(8) },
    }),
  });
  const { code, stderr } = await restore(bad, dir.join("cp"));
  expect(code).toBe(1);
  expect(stderr).toContain("holds what this version does not accept");
  for (const message of [
    `entry "service/${id(1)}": is no resource that this build can read`,
    `entry "service/${id(2)}": has another kind or id than its key`,
    'service "y": host',
    `is that of service/${id(5)} already`,
    `route "r": refers to service/${id(8)}, which does not exist`,
  ])
    expect(stderr).toContain(message);
  expect(await readdir(dir.join(""))).toEqual(["bad.hfs"]);
});

test("a file is put into its own workspace, or into the one that is said", async () => {
  await using dir = await TempDir.make();
  const source = await fileOf(
    dir.join("edge.hfs"),
    {
      [`service/${id(1)}`]: encodeResource(
        resource("service", { id: id(1), name: "x", host: "h.example" }),
      ),
    },
    "edge",
  );
  const own = await restore(source, dir.join("own"));
  expect([own.code, own.stderr]).toEqual([0, ""]);
  expect((await storeOf(dir.join("own"), "edge")).revision).toBe(1n);
  const named = await restore(source, dir.join("x"), "--workspace", "No One");
  expect(named.code).toBe(1);
  expect(named.stderr).toContain("a name is 1 to 63 of a-z");
  const { code, stderr } = await restore(
    source,
    dir.join("cp"),
    "--workspace",
    "default",
  );
  expect([code, stderr]).toEqual([0, ""]);
  const { epoch } = await storeOf(dir.join("cp"));
  expect(epoch).toMatch(/^[0-9a-f]{32}$/);
});

test("an empty snapshot makes an empty history with an epoch of its own", async () => {
  await using dir = await TempDir.make();
  const source = await fileOf(dir.join("empty.hfs"), {});
  const { code, stdout } = await restore(source, dir.join("cp"));
  expect(code).toBe(0);
  expect(stdout).toContain("as revision 0 ");
});
