import { create } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import {
  BatchQueue,
  batchSettings,
  type BatchSettings,
} from "../../../src/dp/plugins/batch-queue.ts";
import { QueueSchema } from "../../../src/gen/holdfast/plugin/v1/queue_pb.js";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** A batch on its way, which arrives or fails when a test says so. */
interface Sending {
  readonly batch: readonly string[];
  readonly signal: AbortSignal;
  arrive(): void;
  fail(): void;
}

/** A queue whose batches a test takes. */
function queueWith(settings: Partial<BatchSettings>) {
  const clock = new ManualClock();
  const metrics = new Registry();
  const sent: Sending[] = [];
  const queue = new BatchQueue<string>(
    { ...batchSettings(undefined, { maxBatchSize: 1 }, {}), ...settings },
    {
      plugin: "test",
      clock,
      logger: silentLogger,
      metrics,
      send: (batch, signal) =>
        new Promise((resolve, reject) => {
          sent.push({
            batch,
            signal,
            arrive: resolve,
            fail: () => {
              reject(new Error("not taken"));
            },
          });
        }),
    },
  );
  const batches = (): readonly string[] =>
    sent.map(({ batch }) => batch.join());
  const dropped = async (): Promise<number> => {
    const found = metrics.getSingleMetric(
      "holdfast_plugin_entries_dropped_total",
    );
    return (await found?.get())?.values[0]?.value ?? 0;
  };
  return { queue, clock, sent, batches, dropped };
}

/** Lets what follows from a promise happen. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

test("one batch is sent at a time, the next when it has arrived; without a limit of concurrency they go side by side", async () => {
  const one = queueWith({});
  for (const entry of ["a", "b"]) one.queue.add(entry, 1);
  expect(one.batches()).toEqual(["a"]);
  one.sent[0]?.arrive();
  await turn();
  expect(one.batches()).toEqual(["a", "b"]);

  const { concurrency } = batchSettings(
    create(QueueSchema, { concurrencyLimit: -1 }),
    { maxBatchSize: 1 },
    {},
  );
  expect(concurrency).toBe(64);
  const many = queueWith({ concurrency });
  for (const entry of ["a", "b", "c"]) many.queue.add(entry, 1);
  expect(many.batches()).toEqual(["a", "b", "c"]);
});

test.each<[what: string, settings: Partial<BatchSettings>]>([
  ["entries", { maxEntries: 2 }],
  ["bytes", { maxBytes: 25 }],
])(
  "when more %s wait than may, the oldest are dropped and counted",
  async (_what, settings) => {
    const { queue, clock, batches, dropped } = queueWith({
      maxBatchSize: 10,
      ...settings,
    });
    for (const entry of ["a", "b", "c"]) queue.add(entry, 10);
    expect(await dropped()).toBe(1);
    clock.advance(1_000);
    expect(batches()).toEqual(["b,c"]);
    // What has left needs no room any more.
    for (const entry of ["d", "e"]) queue.add(entry, 10);
    expect(await dropped()).toBe(1);
  },
);

test("a batch that is not taken is sent again, each pause twice the one before up to a bound, until its time is over", async () => {
  const { queue, clock, sent, dropped } = queueWith({
    firstRetryDelayMs: 100,
    maxRetryDelayMs: 300,
    maxRetryMs: 1_000,
  });
  queue.add("a", 1);
  for (const [i, pauseMs] of [100, 200, 300, 300].entries()) {
    sent[i]?.fail();
    await turn();
    clock.advance(pauseMs - 1);
    await turn();
    expect(sent).toHaveLength(i + 1);
    clock.advance(1);
    await turn();
    expect(sent).toHaveLength(i + 2);
  }
  expect(await dropped()).toBe(0);
  sent[4]?.fail();
  await turn();
  expect(await dropped()).toBe(1);
  clock.advance(10_000);
  expect(sent).toHaveLength(5);
});

test("what waits is sent at the end, for three seconds: then it is given up and counted, also where the sending hears nothing", async () => {
  const { queue, clock, sent, batches, dropped } = queueWith({
    maxBatchSize: 2,
  });
  for (const entry of ["a", "b", "c"]) queue.add(entry, 1);
  const closed = queue.close();
  sent[0]?.arrive();
  await turn();
  expect(batches()).toEqual(["a,b", "c"]);
  clock.advance(2_999);
  expect(sent[1]?.signal.aborted).toBe(false);
  clock.advance(1);
  expect(sent[1]?.signal.aborted).toBe(true);
  await closed;
  expect(await dropped()).toBe(1);
});

test("older names count where they were given; no queue takes more than 64 MiB", () => {
  const defaults = { maxBatchSize: 200 };
  expect(batchSettings(undefined, defaults, {})).toEqual({
    maxBatchSize: 200,
    maxDelayMs: 1_000,
    maxEntries: 10_000,
    maxBytes: 64 << 20,
    maxRetryMs: 60_000,
    firstRetryDelayMs: 10,
    maxRetryDelayMs: 60_000,
    concurrency: 1,
  });
  expect(
    batchSettings(
      create(QueueSchema, {
        maxBatchSize: 5,
        maxCoalescingDelay: 2,
        maxBytes: 2 ** 40,
      }),
      defaults,
      { maxBatchSize: 7, maxDelay: 3 },
    ),
  ).toMatchObject({ maxBatchSize: 7, maxDelayMs: 3_000, maxBytes: 64 << 20 });
});
