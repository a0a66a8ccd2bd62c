import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { once } from "node:events";
import {
  chmod,
  chown,
  mkdir,
  readFile,
  readdir,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ReplicaError } from "../../../src/dp/replica/replica-database.ts";
import {
  NackClass,
  RefusalSchema,
  type Refusal,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursor } from "../../support/cursors.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import {
  damagedOf,
  openReplica,
  replicaProcess,
  tamper,
} from "../../support/replicas.ts";
import { filled, plain, stateOf } from "../../support/states.ts";
import { TempDir } from "../../support/temp-dir.ts";

const NOBODY = 65_534;

function refusal(revision: number): Refusal {
  return create(RefusalSchema, {
    class: NackClass.INVALID,
    cursor: cursor(revision),
    violations: [{ key: "route/x", field: "paths[0]", reason: "is no path" }],
  });
}

describe("what is stored", () => {
  test("is there again after a restart: the last of any sequence of states, byte for byte", async () => {
    const entries = fc.dictionary(
      fc.integer({ min: 0, max: 40 }).map(String),
      fc.uint8Array({ maxLength: 300 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(entries, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 0, max: 5 }),
        async (contents, reopenAfter) => {
          await using dir = await TempDir.make();
          let store = await openReplica(dir);
          let last;
          for (const [i, content] of contents.entries()) {
            last = stateOf(
              i + 1,
              Object.entries(content).map(([n, value]) => [Number(n), value]),
            );
            await store.persist(last);
            if (i !== reopenAfter) continue;
            await store[Symbol.asyncDispose]();
            store = await openReplica(dir);
            expect(plain(store.loaded)).toEqual(plain(last));
          }
          await store[Symbol.asyncDispose]();
          await using again = await openReplica(dir);
          expect(again.loaded?.source).toBe("replica");
          expect(plain(again.loaded)).toEqual(plain(last));
        },
      ),
      { numRuns: 30 },
    );
  }, 30_000);

  test("is nothing at first, and the empty state once that was stored", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      expect(store.loaded).toBeUndefined();
      await store.persist(stateOf(0));
    }
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(stateOf(0)));
  });

  test("is the owner's alone", async () => {
    await using dir = await TempDir.make();
    await mkdir(dir.join("dp"), { mode: 0o755 });
    await using store = await openReplica(dir);
    await store.persist(filled(1, 3));
    await store[Symbol.asyncDispose]();
    const mode = async (...parts: string[]): Promise<string> =>
      ((await stat(dir.join("dp", ...parts))).mode & 0o777).toString(8);
    expect(await mode()).toBe("700");
    expect(await mode("replica")).toBe("700");
    expect(await mode("last-good.hfs")).toBe("600");
    for (const file of await readdir(dir.join("dp", "replica")))
      expect(await mode("replica", file), file).toBe("600");
  });

  test("leaves what others have in the directory as it is, and its own is the owner's alone there too", async () => {
    await using dir = await TempDir.make();
    await mkdir(dir.join("dp"));
    await chmod(dir.join("dp"), 0o755);
    for (const name of ["run.sh", "node-id"]) {
      await writeFile(dir.join("dp", name), "x");
      await chmod(dir.join("dp", name), 0o755);
    }
    await using store = await openReplica(dir);
    await store.persist(filled(1, 3));
    await store[Symbol.asyncDispose]();
    const modes = ["", "run.sh", "node-id", "replica", "last-good.hfs"].map(
      async (name) =>
        ((await stat(dir.join("dp", name))).mode & 0o777).toString(8),
    );
    expect(await Promise.all(modes)).toEqual([
      ...["755", "755", "600", "700", "600"],
    ]);
  });

  test("keeps the order of writes that are not waited for, and what they were when it closes", async () => {
    await using dir = await TempDir.make();
    const store = await openReplica(dir);
    const all = [1, 2, 3, 4].map((n) => store.persist(filled(n, 5 - n)));
    const remembered = store.remember([refusal(9)]);
    await store[Symbol.asyncDispose]();
    await Promise.all([...all, remembered]);
    await using again = await openReplica(dir);
    expect(plain(again.loaded)).toEqual(plain(filled(4, 1)));
    expect(again.refusals).toEqual([refusal(9)]);
  });
});

describe("refusals", () => {
  test("survive a restart, with or without a state, and can be forgotten", async () => {
    await using dir = await TempDir.make();
    const known = [refusal(1), refusal(2)];
    {
      await using store = await openReplica(dir);
      expect(store.refusals).toEqual([]);
      await store.remember(known);
    }
    {
      await using store = await openReplica(dir);
      expect(store.refusals).toEqual(known);
      expect(store.loaded).toBeUndefined();
      await store.persist(filled(1, 3));
    }
    {
      await using store = await openReplica(dir);
      expect(store.refusals).toEqual(known);
      await store.remember([]);
    }
    await using store = await openReplica(dir);
    expect(store.refusals).toEqual([]);
    expect(plain(store.loaded)).toEqual(plain(filled(1, 3)));
  });

  test("that cannot be read cost nothing but themselves", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 3));
      await store.remember([refusal(1)]);
    }
    await tamper(dir, (db) => db.put("meta/refusals", Buffer.from("nothing")));
    const logger = new RecordingLogger();
    await using store = await openReplica(dir, { logger });
    expect(store.refusals).toEqual([]);
    expect(plain(store.loaded)).toEqual(plain(filled(1, 3)));
    expect(logger.events).toContain("replica.refusals_damaged");
  });
});

describe("a directory that is not this data plane's", () => {
  test("in use by another process is refused, and free when that has ended", async () => {
    await using dir = await TempDir.make();
    const child = replicaProcess("hold", dir);
    const exited = once(child, "exit");
    try {
      await once(child.stdout, "data");
      await expect(openReplica(dir)).rejects.toThrow(
        new ReplicaError(
          `${dir.join("dp", "replica")} is in use by another process: stop it, or give this data plane its own --data-dir`,
        ),
      );
    } finally {
      child.stdin.end();
      await exited;
    }
    // Nothing was set aside for it.
    expect(await readdir(dir.join("dp"))).toEqual(["replica"]);
    await using store = await openReplica(dir);
    expect(store.loaded).toBeUndefined();
  });

  test("in use by the same process is refused just so", async () => {
    await using dir = await TempDir.make();
    await using first = await openReplica(dir);
    await expect(openReplica(dir)).rejects.toThrow(
      "is in use by another process",
    );
    await first.persist(filled(1, 1));
  });

  test("of another workspace is refused with both names, and left as it is", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 3));
    }
    await expect(openReplica(dir, { workspace: "other" })).rejects.toThrow(
      `the replica in ${dir.join("dp", "replica")} is of workspace "default", asked for is "other": use another --data-dir`,
    );
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(filled(1, 3)));
  });

  test("of a newer format is refused with both numbers, and left as it is", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 3));
    }
    await tamper(dir, (db) => db.put("meta/format", Buffer.from("12")));
    await expect(openReplica(dir)).rejects.toThrow(
      `the replica in ${dir.join("dp", "replica")} has format 12, this build reads up to 1: use the newer build, or an empty --data-dir`,
    );
    await tamper(dir, (db) => db.put("meta/format", Buffer.from("1")));
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(filled(1, 3)));
  });

  test("with a file in its place, or in the place of its database, is named", async () => {
    await using dir = await TempDir.make();
    await writeFile(dir.join("dp"), "");
    await expect(openReplica(dir)).rejects.toThrow(
      `cannot use ${dir.join("dp")}: EEXIST`,
    );
    await rm(dir.join("dp"));
    await mkdir(dir.join("dp"));
    await writeFile(dir.join("dp", "replica"), "what is this?");
    const logger = new RecordingLogger();
    await using store = await openReplica(dir, { logger });
    await store.persist(filled(1, 1));
    const [aside = ""] = await damagedOf(dir);
    expect(await readFile(dir.join("dp", aside), "utf8")).toBe("what is this?");
  });

  // Rights do not bind root, and only root can give files away.
  test.skipIf(process.getuid?.() !== 0)(
    "that may not be written is read all the same, and nothing is set aside",
    async () => {
      await using dir = await TempDir.make();
      await chmod(dir.path, 0o755);
      {
        await using store = await openReplica(dir);
        await store.persist(filled(1, 3));
      }
      const replica = dir.join("dp", "replica");
      await chmod(dir.join("dp"), 0o755);
      await chmod(replica, 0o755);
      for (const file of await readdir(replica))
        await chmod(path.join(replica, file), 0o644);
      const child = replicaProcess("hold", dir, { uid: NOBODY });
      const [line] = (await once(child.stdout, "data")) as [Buffer];
      child.stdin.end();
      await once(child, "exit");
      expect(line.toString()).toMatch(
        /^held 1 replica cannot use .*(permission denied|not permitted)/i,
      );
      expect(await damagedOf(dir)).toEqual([]);
      await using store = await openReplica(dir);
      expect(plain(store.loaded)).toEqual(plain(filled(1, 3)));
    },
    20_000,
  );

  test.skipIf(process.getuid?.() !== 0)(
    "in which a run as another user has left a file of its own is set aside, and the second copy takes its place",
    async () => {
      await using dir = await TempDir.make();
      await chmod(dir.path, 0o755);
      {
        await using store = await openReplica(dir);
        await store.persist(filled(1, 3));
      }
      const replica = dir.join("dp", "replica");
      const files = (await readdir(replica)).map((f) => path.join(replica, f));
      const ours = files.filter((file) => !file.endsWith(".log"));
      for (const file of [
        dir.join("dp"),
        dir.join("dp", "last-good.hfs"),
        replica,
        ...ours,
      ])
        await chown(file, NOBODY, NOBODY);
      const child = replicaProcess("hold", dir, { uid: NOBODY });
      const [line] = (await once(child.stdout, "data")) as [Buffer];
      child.stdin.end();
      await once(child, "exit");
      expect(line.toString()).toBe("held 1 last-good writable\n");
      expect(await damagedOf(dir)).toHaveLength(1);
    },
    20_000,
  );

  test.skipIf(process.getuid?.() !== 0)(
    "that is new and may not be written is refused: there is nothing to serve from it",
    async () => {
      await using dir = await TempDir.make();
      await chmod(dir.path, 0o755);
      await mkdir(dir.join("dp"), { mode: 0o755 });
      const child = replicaProcess("hold", dir, { uid: NOBODY });
      const [line] = (await once(child.stdout, "data")) as [Buffer];
      await once(child, "exit");
      expect(line.toString()).toMatch(
        /^refused ReplicaError cannot use .*replica: .*permission denied/i,
      );
    },
    20_000,
  );
});
