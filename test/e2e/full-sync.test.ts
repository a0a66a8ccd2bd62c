import * as protobuf from "@bufbuild/protobuf";
import { Level } from "level";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import type { StoredChange } from "../../src/cp/store/store.ts";
import { startDataPlane, type DataPlane } from "../../src/dp/data-plane.ts";
import { SLICE_ENTRIES } from "../../src/model/slices.ts";
import { Bucket } from "../../src/model/bucket.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { TURN_ENTRIES } from "../../src/runtime/slices.ts";
import { commitOf } from "../support/commit-of.ts";
import { eventually } from "../support/eventually.ts";
import { ask, entryOf } from "../support/gateway.ts";
import { startCp } from "../support/holdfast-process.ts";
import { id, resource } from "../support/resources.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Turns } from "../support/turns.ts";
import { Upstream } from "../support/upstream.ts";

const ROUTES = 100_000;
/** A slice ends with the bucket in which it has enough. */
const MOST_A_STEP = 2 * SLICE_ENTRIES;
/** Entries that one turn of the event loop may handle of anything: those of a turn, and what its last slice had. */
const MOST_A_TURN = TURN_ENTRIES + MOST_A_STEP;
const CLIENTS = 3;

const { turns, steps } = vi.hoisted(() => ({
  turns: { add: undefined as Turns["add"] | undefined },
  /** The most entries that any piece of work handled between two of its own yields. */
  steps: { most: 0 },
}));

// The real thing, with an ear at it: each pause of each piece of work is heard.
vi.mock("../../src/runtime/slices.ts", async (original) => {
  const real = await original<typeof import("../../src/runtime/slices.ts")>();
  const heard = function* <T>(
    work: Generator<number, T, undefined>,
  ): Generator<number, T, undefined> {
    for (;;) {
      const step = work.next();
      if (step.done === true) return step.value;
      steps.most = Math.max(steps.most, step.value);
      turns.add?.("said", step.value);
      yield step.value;
    }
  };
  return {
    ...real,
    driveSlices: (
      work: Generator<number, unknown, undefined>,
      options?: object,
    ) => real.driveSlices(heard(work), options),
  };
});

// What the work says of itself is one thing; what it does to entries is counted beside it.
vi.mock("@bufbuild/protobuf", async (original) => {
  const real = await original<typeof protobuf>();
  return {
    ...real,
    fromBinary: (...given: Parameters<typeof real.fromBinary>) => {
      if (given[0].typeName === "holdfast.config.v1.Resource")
        turns.add?.("decoded", 1);
      return real.fromBinary(...given);
    },
  };
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** Hears of entries that are received, that are written into a batch and that are read from the database. */
async function listen(dir: TempDir, counted: Turns): Promise<void> {
  turns.add = (sort, count) => {
    counted.add(sort, count);
  };
  const parse = Bucket.parse.bind(Bucket);
  vi.spyOn(Bucket, "parse").mockImplementation((index, bytes) => {
    const bucket = parse(index, bytes);
    if (typeof bucket !== "string") counted.add("received", bucket.count);
    return bucket;
  });
  const database = new Level<string, Uint8Array>(dir.join("any"));
  await database.open();
  const batch = database.batch();
  const batches = prototypeWith(batch, "put") as typeof batch;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { put } = batches;
  vi.spyOn(batches, "put").mockImplementation(function (
    this: typeof batch,
    ...given
  ) {
    counted.add("written", 1);
    return put.apply(this, given);
  });
  await batch.close();
  const iterator = database.iterator();
  const iterators = prototypeWith(iterator, "nextv") as typeof iterator;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { nextv } = iterators;
  vi.spyOn(iterators, "nextv").mockImplementation(async function (
    this: typeof iterator,
    ...given: Parameters<typeof nextv>
  ) {
    const entries = await nextv.apply(this, given);
    counted.add("read", entries.length);
    return entries;
  });
  await iterator.close();
  await database.close();
}

/** The object in the chain of prototypes that a method stands in. */
function prototypeWith(object: object, method: string): object {
  for (
    let at = Object.getPrototypeOf(object) as object | null;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  )
    if (Object.hasOwn(at, method)) return at;
  throw new TypeError(`there is no method ${method}`);
}

/** Commits to a store whose control plane is not running: that many entries are not to be waited for. */
async function commit(
  directory: string,
  changes: readonly StoredChange[],
): Promise<void> {
  await using store = await LevelStore.open({ directory });
  const { commit: one } = commitOf(await store.load("default"), changes);
  await store.commit("default", [one]);
}

/** All of it was done, and no turn of the event loop did much of it. */
function expectSpread(counted: Turns, sorts: readonly string[]): void {
  for (const sort of sorts) {
    expect(counted.total(sort), sort).toBeGreaterThanOrEqual(ROUTES);
    expect(counted.most(sort), sort).toBeLessThanOrEqual(MOST_A_TURN);
  }
  expect(steps.most).toBeLessThanOrEqual(MOST_A_STEP);
  // Work that ends and the work that comes after it may share a turn.
  expect(counted.most("said")).toBeLessThanOrEqual(2 * MOST_A_TURN);
}

function portOf(address: string): number {
  return Number(address.split(":").at(-1));
}

/** Many routes that differ in their id, name and path. */
function manyRoutes(): StoredChange[] {
  const number = (n: number): string => String(n).padStart(8, "0");
  const blank = entryOf(
    resource("route", {
      id: id(0xffff_ffff_ffff),
      name: `route-${number(99_999_999)}`,
      paths: [`/many/${number(99_999_999)}`],
      service: { id: id(1) },
    }),
  );
  const text = Buffer.from(blank.value).toString("latin1");
  return Array.from({ length: ROUTES }, (_, i) => {
    const own = id(1000 + i);
    const value = text
      .replaceAll(id(0xffff_ffff_ffff), own)
      .replaceAll("99999999", number(i));
    return { key: `route/${own}`, after: Buffer.from(value, "latin1") };
  });
}

test(
  "100,000 routes come in under traffic, and are loaded again, a few thousand entries a turn of the event loop, with no request failed",
  { timeout: 240_000 },
  async () => {
    await using dir = await TempDir.make();
    await using upstream = await Upstream.start();
    const store = dir.join("cp", "store");
    await commit(
      store,
      [
        resource("service", {
          id: id(1),
          name: "s",
          host: "127.0.0.1",
          port: upstream.port,
        }),
        resource("route", {
          id: id(2),
          name: "first",
          paths: ["/first"],
          service: { id: id(1) },
        }),
      ]
        .map(entryOf)
        .map(({ key, value }) => ({ key, after: value })),
    );
    const before = await startCp(dir.join("cp"));
    const sync = before.address("sync");
    const start = (): Promise<DataPlane> =>
      startDataPlane(
        {
          controlPlanes: [{ host: "127.0.0.1", port: portOf(sync) }],
          proxyListen: { host: "127.0.0.1", port: 0 },
          statusListen: { host: "127.0.0.1", port: 0 },
          dataDir: dir.join("dp"),
          labels: {},
          workspace: "default",
          gateway: { onUnsupported: "refuse" },
          insecureSync: true,
          build: "test",
        },
        { clock: systemClock, logger: silentLogger },
      );
    const serves = async (dp: DataPlane, revision: string): Promise<void> => {
      await eventually(
        async () => {
          await delay(20);
          const response = await fetch(
            `http://${dp.addresses.status}/status/config`,
          );
          const { cursor } = (await response.json()) as {
            cursor: { revision: string } | null;
          };
          return cursor?.revision === revision || undefined;
        },
        `revision ${revision} to be served`,
        120_000,
      );
    };
    const counted = new Turns();
    await listen(dir, counted);

    const dp = await start();
    await serves(dp, "1");
    await before.kill("SIGTERM");
    await commit(store, manyRoutes());

    // The full sync.
    const port = portOf(dp.addresses.proxy);
    const stop = new AbortController();
    const statuses = new Map<number, number>();
    const traffic = Array.from({ length: CLIENTS }, async () => {
      while (!stop.signal.aborted) {
        const { status } = await ask(port, "/first");
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    });
    counted.start();
    await using cp = await startCp(dir.join("cp"), { sync });
    await serves(dp, "2");
    counted.stop();
    stop.abort();
    await Promise.all(traffic);
    expect([...statuses.keys()]).toEqual([200]);
    expect(statuses.get(200)).toBeGreaterThan(100);
    expectSpread(counted, ["received", "decoded", "written"]);
    const last = `/many/${String(ROUTES - 1).padStart(8, "0")}`;
    expect((await ask(port, last)).status).toBe(200);
    await dp[Symbol.asyncDispose]();
    await cp.kill("SIGTERM");

    // Starting from what is on disk.
    counted.start();
    await using again = await start();
    counted.stop();
    await serves(again, "2");
    expectSpread(counted, ["read", "decoded"]);
  },
);
