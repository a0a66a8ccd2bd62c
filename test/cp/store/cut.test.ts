import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LevelStore } from "../../../src/cp/store/level-store.ts";
import type {
  LoadedWorkspace,
  StoredChange,
} from "../../../src/cp/store/store.ts";
import { Snapshot } from "../../../src/model/snapshot.ts";
import { commitOf } from "../../support/commit-of.ts";
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
const ENTRIES = 40;
const LOG_BYTES = 1_000_000;

const random = SeededRandom.fromEnvironment();

/** Roots by revision, of one history. */
type Roots = Map<bigint, string>;

/** A run of revisions, each of which changes some entries; values are large now and then, so that tables come about. */
class Run {
  readonly directory: string;
  readonly store: LevelStore;
  readonly roots: Roots = new Map([[0n, Snapshot.empty(WORKSPACE).root]]);
  #state: LoadedWorkspace;

  private constructor(
    directory: string,
    store: LevelStore,
    state: LoadedWorkspace,
  ) {
    this.directory = directory;
    this.store = store;
    this.#state = state;
  }

  static async start(): Promise<Run> {
    const directory = path.join(await temporaryDirectory(), "store");
    const store = await LevelStore.open({ directory });
    onTestFinished(() => store.close());
    return new Run(directory, store, await store.load(WORKSPACE));
  }

  get epoch(): string {
    return this.#state.cursor.epoch;
  }

  get revision(): bigint {
    return this.#state.cursor.revision;
  }

  async commit(): Promise<void> {
    const numbers = new Set(
      Array.from({ length: 1 + random.below(8) }, () => random.below(ENTRIES)),
    );
    const changes = [...numbers].flatMap((number): StoredChange[] => {
      const key = `route/${id(number)}`;
      const before = this.#state.snapshot.get(key);
      const remove = before !== undefined && random.below(4) === 0;
      const size = random.below(10) === 0 ? 150_000 : random.below(3_000);
      return [
        {
          key,
          ...(before === undefined ? {} : { before }),
          ...(remove ? {} : { after: Buffer.alloc(size, random.below(256)) }),
        },
      ];
    });
    const { commit, next } = commitOf(this.#state, changes);
    // Known before it is durable: a copy may have it already.
    this.roots.set(next.cursor.revision, next.cursor.root);
    await this.store.commit(WORKSPACE, [commit]);
    this.#state = next;
  }

  /** Commits until there are some revisions and some of them in the last log, and closes. */
  async fillLog(): Promise<void> {
    do await this.commit();
    while (
      this.revision < 50n ||
      (await lastLog(this.directory)).length < LOG_BYTES
    );
    await this.store.close();
  }
}

/** What is found in a directory: a revision, or that it is damaged. Anything else fails. */
async function found(directory: string, run: Run): Promise<bigint | "damaged"> {
  let store: LevelStore | undefined;
  try {
    store = await LevelStore.open({ directory });
    const { cursor, snapshot } = await store.load(WORKSPACE);
    const { revision } = cursor;
    expect(cursor.root).toBe(run.roots.get(revision));
    // Not what was remembered about the buckets, but what is in them.
    const again = Snapshot.ofBuckets(WORKSPACE, snapshot.buckets());
    expect(again.root).toBe(cursor.root);
    if (revision > 0n) expect(cursor.epoch).toBe(run.epoch);
    const record = await store.record(WORKSPACE, revision);
    expect(record?.cursor.root).toBe(revision === 0n ? undefined : cursor.root);
    return revision;
  } catch (error) {
    expect(error).toMatchObject({
      name: "ConfigError",
      message: expect.stringMatching(/is damaged: .*(Put a backup)/s) as string,
    });
    return "damaged";
  } finally {
    await store?.close();
  }
}

test(
  `files copied while it is written open as one whole revision or are called damaged (seed ${random.seed})`,
  { timeout: 60_000 },
  async () => {
    const run = await Run.start();
    const outcomes: (bigint | "damaged")[] = [];
    for (let copy = 0; copy < 25; copy++) {
      const to = path.join(await temporaryDirectory(), "store");
      const copied = copyFiles(run.directory, to, random);
      for (let i = random.below(6); i >= 0; i--) await run.commit();
      await copied;
      const outcome = await found(to, run);
      if (outcome !== "damaged")
        expect(outcome).toBeLessThanOrEqual(run.revision);
      outcomes.push(outcome);
    }
    expect(outcomes.filter((o) => o !== "damaged").length).toBeGreaterThan(0);
  },
);

test(
  `a log that is cut off anywhere opens as one whole revision, and never as a later one than a longer log (seed ${random.seed})`,
  { timeout: 60_000 },
  async () => {
    const run = await Run.start();
    await run.fillLog();
    const { length } = await lastLog(run.directory);
    const outcomes: { length: number; revision: bigint | "damaged" }[] = [];
    for (const cut of cuts(length, 60, random)) {
      const to = path.join(await temporaryDirectory(), "store");
      await copyFiles(run.directory, to, random);
      await cutLog(to, cut);
      outcomes.push({ length: cut, revision: await found(to, run) });
    }
    outcomes.sort((a, b) => a.length - b.length);
    expect(outcomes.at(-1)).toEqual({ length, revision: run.revision });
    // That the end never reached the disk is what a crash leaves behind, and no damage.
    expect(outcomes.filter((o) => o.revision === "damaged")).toEqual([]);
    const revisions = outcomes.map(({ revision }) => Number(revision));
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    expect(new Set(revisions).size).toBeGreaterThan(2);
  },
);

test(
  `a log with one byte turned over opens as one whole revision or is called damaged (seed ${random.seed})`,
  { timeout: 60_000 },
  async () => {
    const run = await Run.start();
    await run.fillLog();
    const { length } = await lastLog(run.directory);
    const outcomes = new Set<bigint | "damaged">();
    for (let i = 0; i < 60; i++) {
      const to = path.join(await temporaryDirectory(), "store");
      await copyFiles(run.directory, to, random);
      await spoilLog(to, random.below(length));
      outcomes.add(await found(to, run));
    }
    // LevelDB skips what it cannot read and goes on after it: only the root shows that.
    expect(outcomes).toContain("damaged");
  },
);
