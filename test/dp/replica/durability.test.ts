import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdir, rename, stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import {
  readStateFile,
  type State,
} from "../../../src/dp/replica/last-good.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import {
  damagedOf,
  openReplica,
  replicaProcess,
} from "../../support/replicas.ts";
import { filled, plain } from "../../support/states.ts";
import { TempDir } from "../../support/temp-dir.ts";

test("after kill -9 in the middle of writes it opens on a whole state, not older than the last that was said to be durable", async () => {
  await using dir = await TempDir.make();
  let last = 0n;
  for (let round = 1; round <= 10; round++) {
    const child = replicaProcess("write", dir);
    const exited = once(child, "exit");
    let said = 0n;
    let seen = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      said = BigInt(line);
      if (++seen === 3 * round) child.kill("SIGKILL");
    }
    await exited;
    expect(said).toBeGreaterThan(last);
    const logger = new RecordingLogger();
    await using store = await openReplica(dir, { logger });
    const revision = store.loaded?.cursor.revision ?? 0n;
    expect(revision).toBeGreaterThanOrEqual(said);
    expect(plain(store.loaded)).toEqual(
      plain(filled(revision, 10 + Number(revision % 7n), 3000)),
    );
    expect(store.loaded?.source).toBe("replica");
    expect(logger.events).toEqual([]);
    last = revision;
  }
}, 60_000);

const canLimit =
  process.platform === "linux" &&
  spawnSync("prlimit", ["--version"]).status === 0;

test.skipIf(!canLimit)(
  "after a write that failed on the disk the next that works is durable",
  async () => {
    await using dir = await TempDir.make();
    // Files may have 300 KiB at most; what would be longer fails in the middle.
    const child = replicaProcess("limited", dir, {
      through: ["prlimit", "--fsize=307200:unlimited"],
    });
    const exited = once(child, "exit");
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (!line.startsWith("durable")) continue;
      spawnSync("prlimit", [
        "--pid",
        String(child.pid),
        "--fsize=unlimited:unlimited",
      ]);
      child.stdin.write("go on\n");
    }
    await exited;
    const [failed, , stored] = lines;
    expect(failed).toMatch(/^failed .*File too large/i);
    await using store = await openReplica(dir);
    const cursor = store.loaded?.cursor;
    expect(stored).toBe(
      `stored ${String(cursor?.revision)} ${String(cursor?.root)}`,
    );
    expect(store.loaded?.source).toBe("replica");
    expect(await damagedOf(dir)).toEqual([]);
  },
  30_000,
);

test.skipIf(!canLimit)(
  "a disk without room for a byte at the start keeps nobody from what the second copy has, and nothing is set aside",
  async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 3));
    }
    const child = replicaProcess("hold", dir, {
      through: ["prlimit", "--fsize=8:unlimited"],
    });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    child.stdin.end();
    await once(child, "exit");
    expect(line.toString()).toMatch(
      /^held 1 last-good cannot use .*replica: .*file too large/i,
    );
    expect(await damagedOf(dir)).toEqual([]);
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(filled(1, 3)));
  },
  20_000,
);

describe("the second copy", () => {
  const onDisk = (dir: TempDir): Promise<State | undefined> =>
    readStateFile(dir.join("dp", "last-good.hfs"));

  test("is written with the first change, then at most once a minute, always the newest, and on close", async () => {
    await using dir = await TempDir.make();
    const clock = new ManualClock();
    const store = await openReplica(dir, { clock });
    const isThere = (state: State): Promise<true> =>
      eventually(async () => {
        const found = await onDisk(dir);
        return found?.cursor.revision === state.cursor.revision || undefined;
      }, `revision ${state.cursor.revision} in last-good.hfs`);

    await store.persist(filled(1, 3));
    clock.advance(0);
    await isThere(filled(1, 3));
    const written = await stat(dir.join("dp", "last-good.hfs"));

    for (let revision = 2; revision <= 20; revision++) {
      await store.persist(filled(revision, 3));
      clock.advance(3_000);
    }
    // 57 s have passed.
    expect((await stat(dir.join("dp", "last-good.hfs"))).ino).toBe(written.ino);
    expect(clock.timers).toBe(1);
    clock.advance(2_999);
    expect((await onDisk(dir))?.cursor.revision).toBe(1n);
    clock.advance(1);
    await isThere(filled(20, 3));

    // Nothing new: nothing to do.
    expect(clock.timers).toBe(0);
    clock.advance(10 * 60_000);
    await store.persist(filled(21, 3));
    clock.advance(0);
    await isThere(filled(21, 3));
    await store.persist(filled(22, 4));
    clock.advance(1_000);
    await store[Symbol.asyncDispose]();
    expect(plain(await onDisk(dir))).toEqual(plain(filled(22, 4)));
    expect(clock.timers).toBe(0);
  });

  test("is not written on close when it is the newest already", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 3));
    }
    const written = await stat(dir.join("dp", "last-good.hfs"));
    {
      await using store = await openReplica(dir);
      expect(store.loaded?.cursor.revision).toBe(1n);
    }
    expect((await stat(dir.join("dp", "last-good.hfs"))).ino).toBe(written.ino);
    expect(await readdir(dir.join("dp"))).toEqual(["last-good.hfs", "replica"]);
  });

  test("that cannot be written is said, keeps nothing from being stored, and is tried again", async () => {
    await using dir = await TempDir.make();
    const clock = new ManualClock();
    const logger = new RecordingLogger();
    await using store = await openReplica(dir, { clock, logger });
    await store.persist(filled(1, 3));
    await rename(dir.join("dp"), dir.join("away"));
    clock.advance(0);
    await eventually(
      () => logger.last("replica.last_good_not_written"),
      "word of the copy that was not written",
    );
    await rename(dir.join("away"), dir.join("dp"));
    await store.persist(filled(2, 3));
    clock.advance(60_000);
    await eventually(async () => await onDisk(dir), "the second copy");
    expect((await onDisk(dir))?.cursor.revision).toBe(2n);
  });
});
