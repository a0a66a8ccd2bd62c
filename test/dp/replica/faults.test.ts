import { spawnSync } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { describe, expect, test, vi } from "vitest";
import { SnapshotPacker } from "../../../src/model/snapshot-packer.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { damagedOf, openReplica } from "../../support/replicas.ts";
import { filled, plain } from "../../support/states.ts";
import { TempDir } from "../../support/temp-dir.ts";

const MEBIBYTE = 1024 * 1024;

/** Whether this process may mount file systems: a disk that is full, or read-only, is one. */
const canMount = (() => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const made = spawnSync("mktemp", ["-d"], { encoding: "utf8" }).stdout.trim();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "tmpfs", made]);
  if (mounted.status === 0) spawnSync("umount", [made]);
  spawnSync("rmdir", [made]);
  return mounted.status === 0;
})();

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("mount", args, { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
}

/** A disk of its own for a directory's `dp`. */
class Disk implements AsyncDisposable {
  readonly #at: string;

  private constructor(at: string) {
    this.#at = at;
  }

  static async make(dir: TempDir): Promise<Disk> {
    const at = dir.join("dp");
    await mkdir(at);
    mount("-t", "tmpfs", "-o", `size=${8 * MEBIBYTE}`, "tmpfs", at);
    return new Disk(at);
  }

  /** Leaves no room on it. */
  fill(): void {
    spawnSync("dd", ["if=/dev/zero", `of=${this.#at}/filler`, "bs=4096"]);
  }

  async makeRoom(): Promise<void> {
    await rm(`${this.#at}/filler`);
  }

  /** Lets nobody write, or everybody again. */
  protect(mode: "ro" | "rw"): void {
    mount("-o", `remount,${mode}`, this.#at);
  }

  [Symbol.asyncDispose](): Promise<void> {
    spawnSync("umount", ["-l", this.#at]);
    return Promise.resolve();
  }
}

test("memory that runs out while the database is read is no damage of it: nothing is set aside, and it is read again", async () => {
  await using dir = await TempDir.make();
  {
    await using store = await openReplica(dir);
    await store.persist(filled(1, 30, 500));
  }
  // Only LevelDB has it: what is set aside would be lost.
  await rm(dir.join("dp", "last-good.hfs"));
  using packing = vi.spyOn(SnapshotPacker.prototype, "add");
  packing.mockImplementationOnce(() => {
    throw new RangeError("Array buffer allocation failed");
  });
  const logger = new RecordingLogger();
  const clock = new ManualClock();
  await using store = await openReplica(dir, { logger, clock });
  expect(packing).toHaveBeenCalled();
  expect(await damagedOf(dir)).toEqual([]);
  expect(plain(store.loaded)).toEqual(plain(filled(1, 30, 500)));
  expect(store.trouble?.reason).toContain("allocation failed");
  clock.advance(1_000);
  await eventually(
    () => store.trouble === undefined || undefined,
    "the database to be opened again",
  );
});

describe.skipIf(!canMount)("a disk that is full", () => {
  test("at the start: the newest state is read all the same, nothing is set aside, and it is durable again by itself when there is room", async () => {
    await using dir = await TempDir.make();
    await using disk = await Disk.make(dir);
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 30, 500));
    }
    // The second copy is behind: only LevelDB has the newest.
    await rm(dir.join("dp", "last-good.hfs"));
    disk.fill();
    const logger = new RecordingLogger();
    const clock = new ManualClock();
    {
      await using store = await openReplica(dir, { logger, clock });
      expect(store.loaded?.source).toBe("replica");
      expect(plain(store.loaded)).toEqual(plain(filled(1, 30, 500)));
      expect(store.trouble?.reason).toMatch(/no space left/i);
      expect(logger.last("replica.not_writable")).toMatchObject({
        level: "error",
        fields: { advice: expect.stringContaining("make room") as string },
      });
      // New states are refused for now.
      await expect(store.persist(filled(2, 30, 500))).rejects.toThrow(
        /no space left/i,
      );
      await store.guard.taking(filled(2, 30, 500).cursor);
      clock.advance(1_000);
      await disk.makeRoom();
      await eventually(() => {
        clock.advance(60_000);
        return store.trouble === undefined || undefined;
      }, "the database to be tried again");
      expect(logger.events).toContain("replica.reopened");
      await store.persist(filled(2, 30, 500));
    }
    expect(await damagedOf(dir)).toEqual([]);
    await using store = await openReplica(dir);
    expect(store.loaded?.source).toBe("replica");
    expect(plain(store.loaded)).toEqual(plain(filled(2, 30, 500)));
  });

  test("and a database that is damaged: the second copy is served, and stored when there is room", async () => {
    await using dir = await TempDir.make();
    await using disk = await Disk.make(dir);
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 30, 500));
    }
    await rm(dir.join("dp", "replica", "CURRENT"));
    disk.fill();
    const clock = new ManualClock();
    {
      await using store = await openReplica(dir, { clock });
      expect(store.loaded?.source).toBe("last-good");
      expect(plain(store.loaded)).toEqual(plain(filled(1, 30, 500)));
      expect(store.trouble).toBeDefined();
      await disk.makeRoom();
      await eventually(() => {
        clock.advance(60_000);
        return store.trouble === undefined || undefined;
      }, "the database to be tried again");
    }
    expect(await damagedOf(dir)).toHaveLength(1);
    // What is served is in the new database, although nothing has changed since.
    await rm(dir.join("dp", "last-good.hfs"));
    await using store = await openReplica(dir);
    expect(store.loaded?.source).toBe("replica");
    expect(plain(store.loaded)).toEqual(plain(filled(1, 30, 500)));
  });

  test("while it runs: what cannot be stored is rejected, what was stored stays, and the next that fits is durable", async () => {
    await using dir = await TempDir.make();
    await using disk = await Disk.make(dir);
    const logger = new RecordingLogger();
    {
      await using store = await openReplica(dir, { logger });
      await store.persist(filled(1, 30, 500));
      disk.fill();
      await expect(store.persist(filled(2, 300, 5_000))).rejects.toThrow(
        /no space left/i,
      );
      await expect(store.persist(filled(3, 300, 5_000))).rejects.toThrow();
      expect(store.trouble).toBeDefined();
      expect(
        logger.events.filter((event) => event === "replica.not_writable"),
      ).toHaveLength(1);
      await disk.makeRoom();
      await store.persist(filled(4, 30, 500));
      expect(store.trouble).toBeUndefined();
    }
    expect(await damagedOf(dir)).toEqual([]);
    await rm(dir.join("dp", "last-good.hfs"));
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(filled(4, 30, 500)));
  });
});

describe.skipIf(!canMount)("a disk that is read-only", () => {
  test("at the start, and from one moment to the next: what is there is served, and it goes on when it may be written again", async () => {
    await using dir = await TempDir.make();
    await using disk = await Disk.make(dir);
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 30, 500));
    }
    disk.protect("ro");
    const clock = new ManualClock();
    const logger = new RecordingLogger();
    {
      await using store = await openReplica(dir, { clock, logger });
      expect(plain(store.loaded)).toEqual(plain(filled(1, 30, 500)));
      expect(store.trouble?.reason).toMatch(/read-only file system/i);
      await expect(store.persist(filled(2, 3))).rejects.toThrow(/read-only/i);
      disk.protect("rw");
      await eventually(() => {
        clock.advance(60_000);
        return store.trouble === undefined || undefined;
      }, "the database to be tried again");
      await store.persist(filled(2, 30, 500));
    }
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(filled(2, 30, 500)));
    expect(await damagedOf(dir)).toEqual([]);
  });
});

describe("a clock that jumps", () => {
  const year = 365 * 24 * 3_600_000;

  test.each([
    ["back", -20 * year],
    ["ahead", 20 * year],
  ])(
    "%s by years costs nothing of what is stored, and what is set aside stays bounded",
    async (_name, jumpMs) => {
      await using dir = await TempDir.make();
      let now = Date.UTC(2030, 0, 1);
      for (let round = 1; round <= 6; round++) {
        const clock = new ManualClock(now);
        {
          await using store = await openReplica(dir, { clock });
          await store.persist(filled(round, 5));
          await store.confirmed(clock.now());
        }
        now += round % 2 === 1 ? jumpMs : 1_000 - jumpMs;
        if (round > 2) await rm(dir.join("dp", "replica", "CURRENT"));
        await using store = await openReplica(dir, {
          clock: new ManualClock(now),
        });
        expect(plain(store.loaded)).toEqual(plain(filled(round, 5)));
      }
      expect(await damagedOf(dir)).toHaveLength(3);
    },
  );
});
