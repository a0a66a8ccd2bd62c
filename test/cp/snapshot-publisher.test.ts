import { generateKeyPairSync } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import {
  openPublishing,
  SnapshotPublisher,
} from "../../src/cp/snapshot-publisher.ts";
import { readStateFile, type State } from "../../src/dp/replica/last-good.ts";
import { verifySnapshot } from "../../src/model/snapshot-signature.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { RecordingLogger } from "../support/recording-logger.ts";
import { filled, plain } from "../support/states.ts";
import { TempDir } from "../support/temp-dir.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");

/** A catalog whose head a test sets. */
class Heads {
  readonly workspace = "default";
  head: State = filled(0, 0);
  readonly #listeners = new Set<() => void>();

  onCommit(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  commit(state: State): void {
    this.head = state;
    for (const listener of this.#listeners) listener();
  }
}

async function start(dir: TempDir) {
  const keyFile = dir.join("key.pem");
  await writeFile(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }));
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const metrics = new Registry();
  const heads = new Heads();
  const publisher = new SnapshotPublisher({
    publishing: await openPublishing(
      { directory: dir.join("published"), keyFile },
      metrics,
    ),
    // Only the parts of a catalog that it looks at.
    catalog: heads,
    clock,
    logger,
  });
  const published = (): Promise<State | undefined> =>
    readStateFile(dir.join("published", "default.hfs"), (header) =>
      verifySnapshot(header, [publicKey]),
    );
  const until = (state: State): Promise<true> =>
    eventually(async () => {
      const found = await published();
      return found?.cursor.revision === state.cursor.revision || undefined;
    }, `revision ${state.cursor.revision} to be published`);
  return { publisher, clock, logger, metrics, heads, published, until };
}

test("the newest state is published, signed, at most every three seconds, and what is left at the end", async () => {
  await using dir = await TempDir.make();
  const { publisher, clock, heads, published, until } = await start(dir);
  clock.advance(0);
  await until(filled(0, 0));
  for (let revision = 1; revision <= 10; revision++) {
    heads.commit(filled(revision, 5));
    clock.advance(200);
  }
  expect((await published())?.cursor.revision).toBe(0n);
  clock.advance(1_000);
  await until(filled(10, 5));
  expect(plain(await published())).toEqual(plain(filled(10, 5)));
  heads.commit(filled(11, 5));
  await publisher[Symbol.asyncDispose]();
  expect((await published())?.cursor.revision).toBe(11n);
  expect(await readdir(dir.join("published"))).toEqual(["default.hfs"]);
  expect(clock.timers).toBe(0);
});

test("what cannot be written is said and counted, tried again, and said when it works", async () => {
  await using dir = await TempDir.make();
  await mkdir(dir.join("published", "default.hfs", "in-the-way"), {
    recursive: true,
  });
  const { publisher, clock, heads, logger, metrics, until } = await start(dir);
  clock.advance(0);
  await eventually(
    () => logger.last("snapshot.not_published"),
    "word of the failure",
  );
  heads.commit(filled(1, 5));
  clock.advance(4_000);
  expect(logger.events).toEqual(["snapshot.not_published"]);
  await rm(dir.join("published", "default.hfs"), { recursive: true });
  clock.advance(1_000);
  await until(filled(1, 5));
  await eventually(() => logger.last("snapshot.published"), "word of success");
  const text = await metrics.metrics();
  expect(text).toContain(
    'holdfast_cp_snapshot_publish_failures_total{workspace="default"} 1',
  );
  expect(text).toContain(
    'holdfast_cp_snapshot_published_revision{workspace="default"} 1',
  );
  await publisher[Symbol.asyncDispose]();
});

test("a file that stays the newest has its time renewed", async () => {
  await using dir = await TempDir.make();
  const { publisher, clock, published, until } = await start(dir);
  clock.advance(0);
  await until(filled(0, 0));
  const times = new Set<number>();
  const look = async (): Promise<number> => {
    let seconds = 0;
    await readStateFile(dir.join("published", "default.hfs"), ({ time }) => {
      seconds = Number(time?.seconds);
      return undefined;
    });
    times.add(seconds);
    return times.size;
  };
  await look();
  await eventually(async () => {
    clock.advance(60_000);
    return (await look()) >= 3 || undefined;
  }, "three times");
  expect((await published())?.cursor.revision).toBe(0n);
  await publisher[Symbol.asyncDispose]();
});
