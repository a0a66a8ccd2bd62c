import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { AppliedState } from "../../src/dp/applied-state.ts";
import type { Prepared, PrepareResult } from "../../src/dp/gateway/states.ts";
import { CrashGuard } from "../../src/dp/replica/crash-guard.ts";
import type { State } from "../../src/dp/replica/last-good.ts";
import {
  blamedFor,
  crashed,
  CRASHES,
  type Trials,
} from "../../src/dp/replica/trials.ts";
import { Applier } from "../../src/dp/sync/applier.ts";
import { ManifestSchema } from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { silentLogger } from "../../src/runtime/logger.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { filled, stateOf } from "../support/states.ts";

const A = filled(1, 3);
const B = filled(2, 3);
/** The announcement of a state without entries: there is nothing to fetch. */
const EMPTY = create(ManifestSchema, {
  seq: 1n,
  cursor: stateOf(1).cursor,
  totals: {},
});

/** A process whose compiles end when they are told to. */
class Process {
  readonly boot: string;
  readonly applied: AppliedState;
  readonly #clock = new ManualClock();
  readonly #compiles: ((works: boolean) => void)[] = [];
  /** What is on the disk. */
  trials: Trials;

  constructor(boot = "boot", trials: Trials = []) {
    this.boot = boot;
    this.trials = trials;
    this.applied = new AppliedState({
      gateway: {
        prepare: (state) => this.#compile(state),
        commit: () => undefined,
      },
      guard: new CrashGuard({
        boot,
        clock: this.#clock,
        trials,
        store: (written) => {
          this.trials = written;
          return Promise.resolve();
        },
      }),
      clock: this.#clock,
      logger: silentLogger,
    });
  }

  /** The revision that a crash at this moment is put down to. */
  get blamed(): bigint | undefined {
    return blamedFor(this.trials, this.boot)?.revision;
  }

  get clock(): ManualClock {
    return this.#clock;
  }

  /** An applier over this process whose disk does not matter. */
  applier(): Applier<Prepared> {
    return new Applier({
      workspace: "default",
      clock: this.#clock,
      activation: this.applied,
      persistence: {
        persist: () => Promise.resolve(),
        remember: () => Promise.resolve(),
      },
      served: undefined,
    });
  }

  /** Begins to prepare a state. What is returned ends that, well or not. */
  async begin(state: State): Promise<(works: boolean) => Promise<void>> {
    const result = this.applied.prepare(state);
    const end = await this.compile();
    return async (works) => {
      end(works);
      await result;
    };
  }

  /** The compile that has just begun. */
  async compile(): Promise<(works: boolean) => void> {
    for (;;) {
      const end = this.#compiles.shift();
      if (end !== undefined) return end;
      await Promise.resolve();
    }
  }

  serve(state: State): void {
    void this.applied.commit(preparedOf(state));
  }

  #compile(state: State): Promise<PrepareResult> {
    return new Promise((resolve) => {
      this.#compiles.push((works) => {
        resolve(
          works
            ? { ok: true, prepared: preparedOf(state) }
            : { ok: false, class: "INVALID", violations: [] },
        );
      });
    });
  }
}

function preparedOf({ cursor, snapshot }: State): Prepared {
  const counts = { routes: 0, services: 0 };
  return { cursor, snapshot, degraded: [], warnings: [], counts };
}

describe("what a crash is put down to", () => {
  test("is the state that was taken up last, though one before it fails late", async () => {
    const process = new Process();
    const endA = await process.begin(A);
    await process.applied.drop(A.cursor);
    const endB = await process.begin(B);
    expect(process.blamed).toBe(2n);
    await endA(false);
    expect(process.blamed).toBe(2n);
    await endB(true);
    expect(process.blamed).toBe(2n);
    await process.applied.drop(A.cursor);
    expect(process.blamed).toBe(2n);
  });

  test("is a state that is given up until its compile has ended, well or not", async () => {
    for (const works of [true, false]) {
      const process = new Process();
      const end = await process.begin(A);
      await process.applied.drop(A.cursor);
      expect(process.blamed).toBe(1n);
      await end(works);
      expect(process.blamed).toBeUndefined();
    }
  });

  test("is a state that is taken up again though its earlier compile ends late", async () => {
    const process = new Process();
    const first = await process.begin(A);
    await process.applied.drop(A.cursor);
    const second = await process.begin(A);
    await first(false);
    expect(process.blamed).toBe(1n);
    await second(false);
    expect(process.blamed).toBeUndefined();
  });

  test("is what is served and has not proved itself when the next is given up", async () => {
    const process = new Process();
    const endA = await process.begin(A);
    await endA(true);
    process.serve(A);
    const endB = await process.begin(B);
    await endB(true);
    expect(process.blamed).toBe(2n);
    await process.applied.drop(B.cursor);
    expect(process.blamed).toBe(1n);
    process.clock.advance(10_000);
    expect(process.blamed).toBeUndefined();
  });

  test("is nothing when a state was prepared and its stream was lost: it is not quarantined for crashes after that", async () => {
    let trials: Trials = [];
    for (let n = 0; n < CRASHES; n++) {
      const process = new Process(`boot ${n}`, trials);
      const applier = process.applier();
      const frame = applier.arrived(EMPTY);
      applier.takeUp(frame);
      expect(await applier.verify(frame)).toEqual({});
      const prepared = applier.prepare(frame);
      (await process.compile())(true);
      expect(await prepared).toBeUndefined();
      expect(process.blamed).toBe(1n);
      applier.discard(frame);
      expect(process.blamed).toBeUndefined();
      trials = process.trials;
    }
    expect(crashed(trials)).toEqual([]);
  });

  test("is not touched by a frame that is discarded before it was handed over", async () => {
    const process = new Process();
    const end = await process.begin(stateOf(1));
    const applier = process.applier();
    const frame = applier.arrived(EMPTY);
    applier.takeUp(frame);
    applier.discard(frame);
    await end(true);
    expect(process.blamed).toBe(1n);
  });
});
