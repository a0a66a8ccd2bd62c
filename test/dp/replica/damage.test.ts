import fc from "fast-check";
import {
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import {
  readStateFile,
  writeStateFile,
  type State,
} from "../../../src/dp/replica/last-good.ts";
import { DamagedFileError } from "../../../src/dp/state-reader.ts";
import { writeSnapshotFile } from "../../../src/model/snapshot-file.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { damagedOf, openReplica, tamper } from "../../support/replicas.ts";
import { filled, plain, stateOf } from "../../support/states.ts";
import { TempDir } from "../../support/temp-dir.ts";

/** The files of a database. LOCK, LOG and LOG.old hold nothing, and can be in the way all the same. */
function filesOf(dir: TempDir): Promise<readonly string[]> {
  return readdir(dir.join("dp", "replica"));
}

type Damage = (file: string) => Promise<void>;

/** Overwrites some bytes at a share of a file's length. */
function garbageAt(share: number, length = 16): Damage {
  return async (file) => {
    const { size } = await stat(file);
    const handle = await open(file, "r+");
    try {
      const at = Math.max(0, Math.floor(size * share) - length);
      await handle.write(
        Buffer.alloc(Math.min(length, size - at), 0xa5),
        0,
        undefined,
        at,
      );
    } finally {
      await handle.close();
    }
  };
}

const damages: Readonly<Record<string, Damage>> = {
  "cut to nothing": (file) => truncate(file, 0),
  "cut to a half": async (file) =>
    truncate(file, Math.floor((await stat(file)).size / 2)),
  "cut by its last byte": async (file) =>
    truncate(file, Math.max(0, (await stat(file)).size - 1)),
  "with garbage at its beginning": garbageAt(0),
  "with garbage in its middle": garbageAt(0.5),
  "with garbage at its end": garbageAt(1),
  "with zeros throughout": async (file) =>
    writeFile(file, Buffer.alloc((await stat(file)).size)),
  "with garbage for all of it": async (file) =>
    writeFile(file, Buffer.alloc((await stat(file)).size + 100, 0xa5)),
  "cut by a kibibyte": async (file) =>
    truncate(file, Math.max(0, (await stat(file)).size - 1024)),
  deleted: (file) => rm(file),
  "replaced by a directory": async (file) => {
    await rm(file);
    await mkdir(file);
    await writeFile(path.join(file, "inside"), "something");
  },
  "replaced by a link to nothing": async (file) => {
    await rm(file);
    await symlink("nowhere", file);
  },
};

describe("a damaged database", () => {
  /** A replica that was closed and opened a few times has a table, a log, a manifest and CURRENT. */
  async function used(dir: TempDir): Promise<State> {
    for (let revision = 1; revision <= 3; revision++) {
      await using store = await openReplica(dir);
      await store.persist(filled(revision, 30, 500));
    }
    const last = filled(4, 30, 500);
    const clock = new ManualClock();
    await using store = await openReplica(dir, { clock });
    await store.persist(filled(3, 31, 500));
    clock.advance(0);
    await store.persist(last);
    return last;
  }

  test.each(Object.entries(damages))(
    "with any one file %s: it starts from a state that was whole, keeps the damage, and says so",
    async (_name, damage) => {
      await using original = await TempDir.make();
      const last = await used(original);
      const files = await filesOf(original);
      expect(files).toContain("CURRENT");
      expect(files.some((name) => name.startsWith("MANIFEST-"))).toBe(true);
      expect(files.some((name) => name.endsWith(".log"))).toBe(true);
      expect(files.some((name) => name.endsWith(".ldb"))).toBe(true);
      for (const file of files) {
        await using dir = await TempDir.make();
        await cp(original.join("dp"), dir.join("dp"), { recursive: true });
        await damage(dir.join("dp", "replica", file));
        const logger = new RecordingLogger();
        {
          await using store = await openReplica(dir, { logger });
          // The second copy was written on close: nothing is lost.
          expect(plain(store.loaded), file).toEqual(plain(last));
          if (store.loaded?.source === "last-good")
            expect(logger.events, file).toContain("replica.from_last_good");
          const aside = await damagedOf(dir);
          if (logger.events.includes("replica.damaged")) {
            expect(aside, file).toHaveLength(1);
            expect(logger.last("replica.damaged")?.fields["moved_to"]).toBe(
              dir.join("dp", aside[0] ?? ""),
            );
          } else expect(aside, file).toEqual([]);
          await store.persist(filled(5, 3));
        }
        await using store = await openReplica(dir);
        expect(store.loaded?.source, file).toBe("replica");
        expect(plain(store.loaded), file).toEqual(plain(filled(5, 3)));
      }
    },
    30_000,
  );

  test.each(Object.entries(damages))(
    "with any one file %s and no second copy: it starts from a whole state or from nothing, never from half of one",
    async (_name, damage) => {
      await using original = await TempDir.make();
      await used(original);
      await rm(original.join("dp", "last-good.hfs"));
      const states = [
        undefined,
        filled(1, 30, 500),
        filled(2, 30, 500),
        filled(3, 30, 500),
        filled(3, 31, 500),
        filled(4, 30, 500),
      ].map(plain);
      for (const file of await filesOf(original)) {
        await using dir = await TempDir.make();
        await cp(original.join("dp"), dir.join("dp"), { recursive: true });
        await damage(dir.join("dp", "replica", file));
        const logger = new RecordingLogger();
        await using store = await openReplica(dir, { logger });
        expect(states, file).toContainEqual(plain(store.loaded));
        // Starting from nothing is never silent, and what was there is kept.
        if (store.loaded === undefined) {
          expect(logger.events, file).toContain("replica.damaged");
          expect(await damagedOf(dir), file).toHaveLength(1);
        }
      }
    },
    30_000,
  );

  test("with any byte changed anywhere gives a state that was stored, or the second copy, never another", async () => {
    await using original = await TempDir.make();
    const last = await used(original);
    const files = await filesOf(original);
    const states = [
      filled(1, 30, 500),
      filled(2, 30, 500),
      filled(3, 30, 500),
      filled(3, 31, 500),
      last,
    ].map(plain);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...files),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        fc.integer({ min: 1, max: 255 }),
        async (file, share, mask) => {
          await using dir = await TempDir.make();
          await cp(original.join("dp"), dir.join("dp"), { recursive: true });
          const damaged = dir.join("dp", "replica", file);
          const bytes = await readFile(damaged);
          const at = Math.floor(bytes.length * share);
          bytes[at] = (bytes[at] ?? 0) ^ mask;
          await writeFile(damaged, bytes);
          await using store = await openReplica(dir);
          expect(states).toContainEqual(plain(store.loaded));
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test("without CURRENT keeps all its other files", async () => {
    await using dir = await TempDir.make();
    await used(dir);
    const files = await filesOf(dir);
    await rm(dir.join("dp", "replica", "CURRENT"));
    await using store = await openReplica(dir);
    expect(store.loaded?.source).toBe("last-good");
    const [aside = ""] = await damagedOf(dir);
    expect(await readdir(dir.join("dp", aside))).toEqual(
      expect.arrayContaining(files.filter((name) => name !== "CURRENT")),
    );
  });

  test.each(["meta/format", "meta/cursor"])(
    "without its %s is set aside: its entries do not get into the state that takes its place",
    async (key) => {
      await using dir = await TempDir.make();
      const last = await used(dir);
      await tamper(dir, (db) => db.del(key));
      {
        await using store = await openReplica(dir);
        expect(store.loaded?.source).toBe("last-good");
        expect(plain(store.loaded)).toEqual(plain(last));
        expect(await damagedOf(dir)).toHaveLength(1);
      }
      await using store = await openReplica(dir);
      expect(store.loaded?.source).toBe("replica");
      expect(plain(store.loaded)).toEqual(plain(last));
    },
  );

  test.each(["meta/format", "meta/cursor"])(
    "with something else as its %s is set aside",
    async (key) => {
      await using dir = await TempDir.make();
      const last = await used(dir);
      for (const value of ["", "x", "-1", "1e3", "\0".repeat(40)]) {
        await tamper(dir, (db) => db.put(key, Buffer.from(value)));
        await using store = await openReplica(dir);
        expect(store.loaded?.source).toBe("last-good");
        expect(plain(store.loaded)).toEqual(plain(last));
      }
      // Five were set aside: the newest three are kept.
      expect(await damagedOf(dir)).toHaveLength(3);
    },
  );

  test("that has gone back to an older state, as LevelDB may, gives way to the newer second copy", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(1, 5));
    }
    await cp(dir.join("dp", "replica"), dir.join("older"), { recursive: true });
    {
      await using store = await openReplica(dir);
      await store.persist(filled(2, 4));
    }
    await rm(dir.join("dp", "replica"), { recursive: true });
    await cp(dir.join("older"), dir.join("dp", "replica"), { recursive: true });
    const logger = new RecordingLogger();
    {
      await using store = await openReplica(dir, { logger });
      expect(store.loaded?.source).toBe("last-good");
      expect(plain(store.loaded)).toEqual(plain(filled(2, 4)));
      expect(logger.last("replica.behind")).toMatchObject({ level: "error" });
    }
    await using store = await openReplica(dir);
    expect(store.loaded?.source).toBe("replica");
    expect(plain(store.loaded)).toEqual(plain(filled(2, 4)));
  });

  test("stays in charge when the second copy is older, of another epoch, or damaged", async () => {
    await using dir = await TempDir.make();
    {
      await using store = await openReplica(dir);
      await store.persist(filled(5, 5));
    }
    const copy = dir.join("dp", "last-good.hfs");
    for (const other of [
      filled(4, 1),
      stateOf(9, [[1, "x"]], { epoch: "other" }),
    ]) {
      await writeStateFile(copy, other, 0);
      await using store = await openReplica(dir);
      expect(store.loaded?.source).toBe("replica");
      expect(plain(store.loaded)).toEqual(plain(filled(5, 5)));
    }
    // Newer by its header, and its content is gone.
    await writeStateFile(copy, filled(9, 3), 0);
    await garbageAt(1)(copy);
    await using store = await openReplica(dir);
    expect(plain(store.loaded)).toEqual(plain(filled(5, 5)));
  });
});

describe("last-good.hfs", () => {
  const state = filled(7, 5);

  function parts(): {
    readonly bytes: Buffer;
    readonly headerAt: number;
    readonly bucketsAt: number;
  } {
    const pieces = [...writeSnapshotFile(state.cursor, state.snapshot, 1_000)];
    const bytes = Buffer.concat(pieces);
    const bucketBytes = [...state.snapshot.buckets()].reduce(
      (sum, [, bucket]) => sum + bucket.bytes.length,
      0,
    );
    return { bytes, headerAt: 16, bucketsAt: bytes.length - bucketBytes };
  }

  test("gives back what was written, of any state", async () => {
    await using dir = await TempDir.make();
    const file = dir.join("x.hfs");
    expect(await readStateFile(file)).toBeUndefined();
    for (const each of [
      stateOf(0),
      state,
      filled(2n ** 64n - 1n, 300),
      stateOf(1, [[1, new Uint8Array()]], { workspace: "other" }),
    ]) {
      await writeStateFile(file, each, 0);
      expect(plain(await readStateFile(file))).toEqual(plain(each));
    }
  });

  test("with any byte changed is refused", async () => {
    await using dir = await TempDir.make();
    const file = dir.join("x.hfs");
    const { bytes, headerAt, bucketsAt } = parts();
    for (let at = 0; at < bytes.length; at++) {
      // All of what has its own form, and one byte in seven of the rest.
      if (at > bucketsAt && at % 7 !== 0) continue;
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x41;
      await writeFile(file, damaged);
      const reason =
        at < 8
          ? "is not a snapshot file"
          : at < 12
            ? /has format \d+, this build reads up to 1/
            : at < headerAt
              ? /has a header of|ends \d+ bytes too early|damaged header/
              : at < bucketsAt
                ? "has a damaged header: its hash is another"
                : /^bucket \d+ /;
      await expect(readStateFile(file), `byte ${at}`).rejects.toThrow(reason);
      await expect(readStateFile(file)).rejects.toBeInstanceOf(
        DamagedFileError,
      );
    }
  }, 20_000);

  test("of any other length is refused", async () => {
    await using dir = await TempDir.make();
    const file = dir.join("x.hfs");
    const { bytes, bucketsAt } = parts();
    for (let length = 0; length < bytes.length; length++) {
      if (length > bucketsAt && length % 7 !== 0) continue;
      await writeFile(file, bytes.subarray(0, length));
      await expect(readStateFile(file), `${length} bytes`).rejects.toThrow(
        length < bucketsAt
          ? /ends \d+ bytes too early/
          : `has ${length} bytes, its header announces`,
      );
    }
    await writeFile(file, Buffer.concat([bytes, Buffer.of(0)]));
    await expect(readStateFile(file)).rejects.toThrow(
      `has ${bytes.length + 1} bytes, its header announces`,
    );
  });

  test("that is damaged, of another workspace or a newer format is no start, and says why", async () => {
    await using dir = await TempDir.make();
    const file = dir.join("dp", "last-good.hfs");
    {
      await using store = await openReplica(dir);
      await store.persist(state);
    }
    const { bytes } = parts();
    const newer = Buffer.from(bytes);
    newer.writeUInt32BE(2, 8);
    const other = stateOf(1, [[1, "x"]], { workspace: "other" });
    for (const [content, reason] of [
      [Buffer.from("nothing"), "ends 9 bytes too early"],
      [newer, "has format 2, this build reads up to 1"],
      [
        Buffer.concat([...writeSnapshotFile(other.cursor, other.snapshot, 0)]),
        'is of workspace "other", this data plane is of "default"',
      ],
    ] as const) {
      await rm(dir.join("dp", "replica"), { recursive: true });
      await writeFile(file, content);
      const logger = new RecordingLogger();
      await using store = await openReplica(dir, { logger });
      expect(store.loaded).toBeUndefined();
      const line = logger.last("replica.last_good_unusable");
      expect(line).toMatchObject({ level: "error", fields: { file } });
      expect(String(line?.fields["err"])).toContain(reason);
    }
  });
});
