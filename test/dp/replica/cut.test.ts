import { rm, truncate, stat } from "node:fs/promises";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { State } from "../../../src/dp/replica/last-good.ts";
import { ReplicaStore } from "../../../src/dp/replica/replica-store.ts";
import { cursorOf } from "../../../src/model/cursor.ts";
import { runSlices } from "../../../src/model/slices.ts";
import type { Entry } from "../../../src/model/bucket.ts";
import { Snapshot } from "../../../src/model/snapshot.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import {
  copyFiles,
  cutLog,
  cuts,
  lastLog,
  spoilLog,
} from "../../support/level-files.ts";
import { id } from "../../support/resources.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const WORKSPACE = "default";
const EPOCH = "0123456789abcdef0123456789abcdef";
const ENTRIES = 40;

const random = SeededRandom.fromEnvironment();

function open(dataDir: string): Promise<ReplicaStore> {
  return ReplicaStore.open({
    dataDir,
    workspace: WORKSPACE,
    clock: systemClock,
    logger: silentLogger,
  });
}

/** A replica that is given one state after the other. */
class Run {
  readonly dataDir: string;
  readonly replica: ReplicaStore;
  /** By revision. */
  readonly roots = new Map<bigint, string>();
  #state: State;

  private constructor(dataDir: string, replica: ReplicaStore) {
    this.dataDir = dataDir;
    this.replica = replica;
    const snapshot = Snapshot.empty(WORKSPACE);
    this.#state = { cursor: cursorOf(EPOCH, 0n, snapshot.root), snapshot };
  }

  static async start(): Promise<Run> {
    const dataDir = await temporaryDirectory();
    const replica = await open(dataDir);
    onTestFinished(() => replica[Symbol.asyncDispose]());
    return new Run(dataDir, replica);
  }

  get revision(): bigint {
    return this.#state.cursor.revision;
  }

  async persist(): Promise<void> {
    const puts = new Map<string, Entry>();
    const deletes = new Set<string>();
    for (let i = random.below(8); i >= 0; i--) {
      const key = `route/${id(random.below(ENTRIES))}`;
      const size = random.below(10) === 0 ? 150_000 : random.below(3_000);
      if (random.below(4) === 0) deletes.add(key);
      else puts.set(key, { key, value: Buffer.alloc(size, random.below(256)) });
    }
    for (const key of puts.keys()) deletes.delete(key);
    const snapshot = runSlices(
      this.#state.snapshot.applySlices({
        puts: [...puts.values()],
        deletes: [...deletes],
      }),
    );
    const cursor = cursorOf(EPOCH, this.revision + 1n, snapshot.root);
    this.roots.set(cursor.revision, cursor.root);
    const state = { cursor, snapshot };
    await this.replica.persist(state);
    this.#state = state;
  }

  /** Goes on until there is much in the newest log, which may just have been begun: of little, all may be replaced later. */
  async fillLog(): Promise<void> {
    const inLog = async (): Promise<number> =>
      (await lastLog(replicaOf(this.dataDir))).length;
    for (let i = 0; i < 40 || (await inLog()) < 1_000_000; i++)
      await this.persist();
  }
}

/** What a data plane would start from: a whole revision, or nothing. Anything else fails. */
async function found(
  dataDir: string,
  run: Run,
): Promise<{ readonly revision: bigint; readonly source: string }> {
  await using replica = await open(dataDir);
  const { loaded } = replica;
  if (loaded === undefined) return { revision: 0n, source: "none" };
  const { cursor, snapshot, source } = loaded;
  expect(cursor).toMatchObject({
    epoch: EPOCH,
    root: run.roots.get(cursor.revision),
  });
  // Not what was remembered about the buckets, but what is in them.
  const entries = [...snapshot.entries()];
  const again = runSlices(
    Snapshot.empty(WORKSPACE).applySlices({ puts: entries, deletes: [] }),
  );
  expect(again.root).toBe(cursor.root);
  return { revision: cursor.revision, source };
}

/** A copy of both of a replica's copies. */
async function copied(run: Run): Promise<string> {
  const to = await temporaryDirectory();
  await copyFiles(path.join(run.dataDir, "replica"), replicaOf(to), random);
  await copyFiles(run.dataDir, to, random);
  return to;
}

function replicaOf(dataDir: string): string {
  return path.join(dataDir, "replica");
}

test(
  `files copied while they are written start as one whole revision or as nothing (seed ${random.seed})`,
  { timeout: 60_000 },
  async () => {
    const run = await Run.start();
    const sources = new Set<string>();
    for (let copy = 0; copy < 25; copy++) {
      const copying = copied(run);
      for (let i = random.below(6); i >= 0; i--) await run.persist();
      const { revision, source } = await found(await copying, run);
      expect(revision).toBeLessThanOrEqual(run.revision);
      sources.add(source);
    }
    expect(sources).toContain("replica");
  },
);

test(
  `a log that is cut off anywhere starts as one whole revision, and never as a later one than a longer log (seed ${random.seed})`,
  { timeout: 60_000 },
  async () => {
    const run = await Run.start();
    await run.fillLog();
    await run.replica[Symbol.asyncDispose]();
    const { length } = await lastLog(replicaOf(run.dataDir));
    const outcomes: { length: number; revision: number }[] = [];
    for (const cut of cuts(length, 50, random)) {
      const to = await copied(run);
      await rm(path.join(to, "last-good.hfs"));
      await cutLog(replicaOf(to), cut);
      const { revision } = await found(to, run);
      outcomes.push({ length: cut, revision: Number(revision) });
    }
    outcomes.sort((a, b) => a.length - b.length);
    const revisions = outcomes.map(({ revision }) => revision);
    expect(revisions.at(-1)).toBe(Number(run.revision));
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    expect(new Set(revisions).size).toBeGreaterThan(2);
  },
);

test("without a readable log the second copy is what it starts from", async () => {
  const run = await Run.start();
  // Few enough for all of it to be in the log.
  for (let i = 0; i < 3; i++) await run.persist();
  await run.replica[Symbol.asyncDispose]();
  const to = await copied(run);
  await cutLog(replicaOf(to), 0);
  expect(await found(to, run)).toEqual({ revision: 3n, source: "last-good" });
});

test(
  `a log with one byte turned over, and a second copy that is cut off, start as one whole revision or as nothing (seed ${random.seed})`,
  { timeout: 60_000 },
  async () => {
    const run = await Run.start();
    await run.fillLog();
    await run.replica[Symbol.asyncDispose]();
    const { length } = await lastLog(replicaOf(run.dataDir));
    const sources = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const to = await copied(run);
      const lastGood = path.join(to, "last-good.hfs");
      if (i % 2 === 0) {
        const { size } = await stat(lastGood);
        await truncate(lastGood, random.below(size));
      }
      await spoilLog(replicaOf(to), random.below(length));
      sources.add((await found(to, run)).source);
    }
    // LevelDB skips what it cannot read and goes on after it: only the root shows that.
    expect([...sources]).toEqual(expect.arrayContaining(["last-good", "none"]));
  },
);
