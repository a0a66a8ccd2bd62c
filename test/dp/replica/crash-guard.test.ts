import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CrashGuard } from "../../../src/dp/replica/crash-guard.ts";
import type { ReplicaStore } from "../../../src/dp/replica/replica-store.ts";
import {
  blamedFor,
  crashed,
  CRASHES,
  settle,
  take,
  trialsFromJson,
  trialsToJson,
  without,
  type Trials,
} from "../../../src/dp/replica/trials.ts";
import { NackClass } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursor } from "../../support/cursors.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { copyDirectory, openReplica, tamper } from "../../support/replicas.ts";
import { filled, plain } from "../../support/states.ts";
import { TempDir } from "../../support/temp-dir.ts";

describe("the account of what is taken up", () => {
  /** What happens to a process, up to its end. */
  const life = fc.record({
    taken: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 }),
    proves: fc.boolean(),
    ends: fc.constantFrom("crash", "clean"),
  });

  test("bars a state after three crashes that nothing else can be blamed for, and never without", () => {
    fc.assert(
      fc.property(fc.array(life, { maxLength: 20 }), (lives) => {
        let trials: Trials = [];
        /** Crashes put down to each state since it last proved itself or all was forgotten. */
        const blamed = new Map<number, number>();
        for (const [boot, { taken, proves, ends }] of lives.entries()) {
          expect(
            crashed(trials).map(({ revision }) => Number(revision)),
          ).toEqual(
            [...blamed]
              .filter(([, n]) => n >= CRASHES)
              .map(([n]) => n)
              .sort(),
          );
          for (const barred of crashed(trials)) {
            trials = settle(trials, barred.root);
            blamed.delete(Number(barred.revision));
          }
          for (const n of taken)
            trials = take(trials, cursor(n), `boot ${boot}`);
          const last = taken.at(-1);
          if (last !== undefined && proves) {
            trials = settle(trials, cursor(last).root);
            blamed.delete(last);
          } else if (last !== undefined && ends === "crash")
            blamed.set(last, (blamed.get(last) ?? 0) + 1);
          if (ends === "clean") {
            trials = [];
            blamed.clear();
          }
        }
      }),
    );
  });

  test("blames a boot's end on what it took up last, once, and on nothing it gave up", () => {
    let trials = take([], cursor(1), "a");
    trials = take(trials, cursor(2), "a");
    trials = take(trials, cursor(2), "a");
    expect(trials).toEqual([{ cursor: cursor(2), boots: ["a"] }]);
    expect(without(trials, "a")).toEqual([]);
    expect(without(take(trials, cursor(2), "b"), "b")).toEqual(trials);
  });

  test("is read back as it was written, and not by another build", () => {
    const trials = take(take([], cursor(1), "a"), cursor(2), "b");
    const json: unknown = JSON.parse(
      JSON.stringify(trialsToJson(trials, "build")),
    );
    expect(trialsFromJson(json, "build")).toEqual(trials);
    expect(trialsFromJson(json, "other")).toEqual([]);
    for (const other of [undefined, 1, [], {}, { build: "build", trials: [1] }])
      expect(trialsFromJson(other, "build")).toEqual([]);
  });

  test("keeps blaming what a process took up last when it gives up one before it", async () => {
    let written: Trials = [];
    const guard = new CrashGuard({
      boot: "a",
      clock: new ManualClock(),
      trials: [],
      store: (trials) => {
        written = trials;
        return Promise.resolve();
      },
    });
    await guard.taking(cursor(1));
    await guard.taking(cursor(2));
    await guard.dropped(cursor(1));
    expect(blamedFor(written, "a")).toEqual(cursor(2));
    await guard.dropped(cursor(2));
    expect(blamedFor(written, "a")).toBeUndefined();
  });

  test("is bounded", () => {
    let trials: Trials = [];
    for (let n = 0; n < 100; n++) trials = take(trials, cursor(n), `boot ${n}`);
    expect(trials).toHaveLength(8);
    for (let n = 0; n < 100; n++) trials = take(trials, cursor(1), `boot ${n}`);
    expect(trials.at(-1)?.boots).toHaveLength(CRASHES);
  });
});

describe("a replica whose process dies", () => {
  /** Opens a copy of a directory as it is while `store` has it: what a process that is killed leaves behind. */
  async function killed(dir: TempDir): Promise<TempDir> {
    const left = await TempDir.make();
    await copyDirectory(dir.join("dp"), left.join("dp"));
    return left;
  }

  /** Boots that take up what is loaded and die at once. */
  async function dies(dir: TempDir, times: number): Promise<TempDir> {
    let left = dir;
    for (let i = 0; i < times; i++) {
      await using store = await openReplica(left, { boot: `dies ${i}` });
      await activate(store);
      left = await killed(left);
    }
    return left;
  }

  async function activate(store: ReplicaStore): Promise<void> {
    const { loaded } = store;
    if (loaded === undefined) return;
    await store.guard.taking(loaded.cursor);
    store.guard.serving(loaded.cursor);
  }

  /** A replica with these states, one after the other, which is closed properly. */
  async function holding(
    dir: TempDir,
    ...states: readonly ReturnType<typeof filled>[]
  ): Promise<void> {
    await using store = await openReplica(dir);
    for (const state of states) await store.persist(state);
  }

  test("three times over the same state starts from the one before, keeps that, and tells of the other", async () => {
    await using dir = await TempDir.make();
    await holding(dir, filled(1, 20), filled(2, 30), filled(3, 10));
    await using left = await dies(dir, CRASHES - 1);
    {
      await using store = await openReplica(left);
      expect(plain(store.loaded)).toEqual(plain(filled(3, 10)));
    }
    await using dead = await dies(dir, CRASHES);
    const logger = new RecordingLogger();
    {
      await using store = await openReplica(dead, { logger });
      expect(store.loaded?.source).toBe("previous");
      expect(plain(store.loaded)).toEqual(plain(filled(2, 30)));
      expect(store.refusals).toMatchObject([
        { class: NackClass.CRASHED, cursor: filled(3, 10).cursor },
      ]);
      expect(logger.last("replica.quarantined")).toMatchObject({
        level: "error",
        fields: {
          quarantined: expect.stringContaining("revision 3 ") as string,
          serving: expect.stringContaining("revision 2 ") as string,
        },
      });
    }
    {
      // It is what is on the disk now, and the second copy does not bring the other back.
      await using store = await openReplica(dead);
      expect(store.loaded?.source).toBe("replica");
      expect(plain(store.loaded)).toEqual(plain(filled(2, 30)));
      expect(store.refusals).toHaveLength(1);
      // Taken up once more, it counts from nothing.
      await store.remember([]);
      await store.persist(filled(3, 10));
    }
    await using store = await openReplica(dead);
    expect(plain(store.loaded)).toEqual(plain(filled(3, 10)));
  });

  test("is no reason for another build to do without the state", async () => {
    await using dir = await TempDir.make();
    await holding(dir, filled(1, 20), filled(2, 30));
    await using dead = await dies(dir, CRASHES);
    await using store = await openReplica(dead, { refuser: "another build" });
    expect(plain(store.loaded)).toEqual(plain(filled(2, 30)));
    expect(store.refusals).toEqual([]);
  });

  test("while it prepares a state that is not stored yet: that one is barred, what was served goes on", async () => {
    await using dir = await TempDir.make();
    await holding(dir, filled(1, 20));
    let left = dir;
    for (let i = 0; i < CRASHES; i++) {
      await using store = await openReplica(left, { boot: `boot ${i}` });
      await activate(store);
      await store.guard.taking(filled(2, 30).cursor);
      left = await killed(left);
    }
    await using dead = left;
    await using store = await openReplica(dead);
    expect(plain(store.loaded)).toEqual(plain(filled(1, 20)));
    expect(store.refusals).toMatchObject([
      { class: NackClass.CRASHED, cursor: { revision: 2n } },
    ]);
  });

  test("after ten seconds of serving it blames nothing", async () => {
    await using dir = await TempDir.make();
    await holding(dir, filled(1, 20), filled(2, 30));
    let left = dir;
    for (let i = 0; i < 2 * CRASHES; i++) {
      const clock = new ManualClock();
      await using store = await openReplica(left, { clock, boot: `boot ${i}` });
      await activate(store);
      clock.advance(10_000);
      // What was handed over comes before this.
      await store.remember([]);
      left = await killed(left);
    }
    await using dead = left;
    await using store = await openReplica(dead);
    expect(plain(store.loaded)).toEqual(plain(filled(2, 30)));
  });

  test("with an inverse that is gone, or not of this state, starts from the second copy if that is another state, and else from nothing", async () => {
    await using dir = await TempDir.make();
    await holding(dir, filled(1, 20), filled(2, 30));
    await tamper(dir, (db) => db.put("inverse/0", Buffer.from("nothing")));
    {
      await using dead = await dies(dir, CRASHES);
      const logger = new RecordingLogger();
      await using store = await openReplica(dead, { logger });
      expect(store.loaded).toBeUndefined();
      expect(logger.last("replica.quarantined")?.fields["serving"]).toBe(
        "nothing",
      );
      // And again, until there is another state.
      await store[Symbol.asyncDispose]();
      await using again = await openReplica(dead);
      expect(again.loaded).toBeUndefined();
      await again.persist(filled(3, 5));
      await again[Symbol.asyncDispose]();
      await using after = await openReplica(dead);
      expect(plain(after.loaded)).toEqual(plain(filled(3, 5)));
    }
    await using older = await TempDir.make();
    await holding(older, filled(1, 20));
    await using dead = await dies(dir, CRASHES);
    await copyDirectory(
      older.join("dp", "last-good.hfs"),
      dead.join("dp", "last-good.hfs"),
    );
    await using store = await openReplica(dead);
    expect(store.loaded?.source).toBe("last-good");
    expect(plain(store.loaded)).toEqual(plain(filled(1, 20)));
  });

  test("goes back over any change exactly: byte for byte what was before", async () => {
    const content = fc.record({
      count: fc.integer({ min: 0, max: 1500 }),
      bytes: fc.integer({ min: 0, max: 900 }),
    });
    await fc.assert(
      fc.asyncProperty(content, content, async (before, after) => {
        await using dir = await TempDir.make();
        const first = filled(1, before.count, before.bytes);
        await holding(
          dir,
          filled(0, 3),
          first,
          filled(2, after.count, after.bytes),
        );
        if (
          first.cursor.root === filled(2, after.count, after.bytes).cursor.root
        )
          return;
        await using dead = await dies(dir, CRASHES);
        await using store = await openReplica(dead);
        expect(store.loaded?.source).toBe("previous");
        expect(plain(store.loaded)).toEqual(plain(first));
      }),
      { numRuns: 10 },
    );
  }, 60_000);
});
