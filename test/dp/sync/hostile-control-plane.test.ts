import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { State } from "../../../src/dp/replica/last-good.ts";
import {
  type BucketBatchSchema,
  Codec,
  DeltaContentSchema,
  NackClass,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../../src/sync/limits.ts";
import { cursor } from "../../support/cursors.ts";
import { eventually } from "../../support/eventually.ts";
import { TestActivation, TestNode } from "../../support/link-harness.ts";
import { bring, feed, offer } from "../../support/offering.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { filled, plain } from "../../support/states.ts";
import {
  PuppetControlPlane,
  type NodeStream,
} from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

/** Lets prepares through one by one. */
class Gated extends TestActivation {
  readonly #waiting: { readonly state: State; readonly open: () => void }[] =
    [];

  override async prepare(state: State): ReturnType<TestActivation["prepare"]> {
    await new Promise<void>((open) => {
      this.#waiting.push({ state, open });
    });
    return super.prepare(state);
  }

  /** Waits for the oldest prepare that waits. */
  async next(): Promise<{ readonly state: State; readonly open: () => void }> {
    await eventually(() => this.#waiting[0], "a prepare");
    const next = this.#waiting.shift();
    if (next === undefined) throw new Error("none waits");
    return next;
  }
}

describe("what a control plane may not do ends its stream, and nothing else", () => {
  const state = filled(1, 5);
  const first = [...state.snapshot.buckets()][0];
  if (first === undefined) throw new Error("empty");
  const [index, bucket] = first;
  const digest = { index, hash: bucket.hash, size: bucket.bytes.length };
  const totals = (size: number | bigint) => ({
    buckets: 1,
    entries: 1n,
    bytes: BigInt(size),
  });
  const announced = {
    case: "manifest" as const,
    value: {
      seq: 2n,
      cursor: cursor(2),
      buckets: [digest],
      totals: totals(digest.size),
    },
  };
  const delta = (codec: Codec, data: Uint8Array, size: number) => ({
    case: "delta" as const,
    value: { seq: 2n, from: state.cursor, to: cursor(2), codec, data, size },
  });
  const content = (key: string): Uint8Array =>
    toBinary(
      DeltaContentSchema,
      create(DeltaContentSchema, { puts: [{ key, value: Buffer.of(1) }] }),
    );
  type Act = (stream: NodeStream) => Promise<void>;
  /** Announces a bucket that the node does not have, and sends a batch that claims to bring it. */
  const batch =
    (value: MessageInitShape<typeof BucketBatchSchema>): Act =>
    async (s) => {
      await s.send({
        ...announced,
        value: {
          ...announced.value,
          buckets: [{ ...digest, hash: Buffer.alloc(32, 1) }],
        },
      });
      await s.heard("bucketRequest", 2);
      await s.send({
        case: "bucketBatch",
        value: { seq: 2n, codec: Codec.IDENTITY, ...value },
      });
    };
  const acts: Readonly<Record<string, Act>> = {
    "bytes that are no message": (s) =>
      s.send(Buffer.from("this is not protobuf at all")),
    "a second Welcome": (s) => s.send({ case: "welcome", value: {} }),
    "a manifest without cursor": (s) =>
      s.send({ case: "manifest", value: { seq: 2n } }),
    "a seq that does not ascend": (s) =>
      s.send({ ...announced, value: { ...announced.value, seq: 1n } }),
    "a manifest of more bytes than a node takes": (s) =>
      s.send({
        ...announced,
        value: {
          ...announced.value,
          totals: totals(LIMITS.snapshotBytes + 1),
        },
      }),
    "a manifest whose buckets are larger than it announces": (s) =>
      s.send({
        ...announced,
        value: {
          ...announced.value,
          buckets: [{ ...digest, size: 0xffff_ffff }],
        },
      }),
    "a manifest with a bucket twice": (s) =>
      s.send({
        ...announced,
        value: {
          ...announced.value,
          buckets: [digest, digest],
          totals: { ...totals(2 * digest.size), buckets: 2 },
        },
      }),
    "a delta that inflates to more than it says": (s) =>
      s.send(delta(Codec.GZIP, gzipSync(Buffer.alloc(64 << 20)), 1000)),
    "a delta that says to be larger than a frame": (s) =>
      s.send(delta(Codec.GZIP, gzipSync(Buffer.alloc(4 << 20)), 4 << 20)),
    "a delta that is no gzip": (s) =>
      s.send(delta(Codec.GZIP, Buffer.from("no"), 2)),
    "a delta of an unknown codec": (s) =>
      s.send(delta(77 as Codec, Buffer.from("no"), 2)),
    "a delta with another length than it says": (s) =>
      s.send(delta(Codec.IDENTITY, content("service/x"), 1)),
    "a delta that is no DeltaContent": (s) =>
      s.send(delta(Codec.IDENTITY, Buffer.of(255, 255, 255), 3)),
    "a delta with something else than a key": async (s) => {
      const data = content("service/é");
      await s.send(delta(Codec.IDENTITY, data, data.length));
    },
    "a delta with no end of changes": async (s) => {
      const data = toBinary(
        DeltaContentSchema,
        create(DeltaContentSchema, {
          deletes: Array.from({ length: 40_000 }, (_, n) => `k/${n}`),
        }),
      );
      await s.send(delta(Codec.GZIP, gzipSync(data), data.length));
    },
    "a delta from one epoch to another": (s) =>
      s.send({
        case: "delta",
        value: {
          seq: 2n,
          from: state.cursor,
          to: { ...cursor(2), epoch: "another" },
          codec: Codec.IDENTITY,
        },
      }),
    "a manifest with no end of predecessors": (s) =>
      s.send({
        ...announced,
        value: {
          ...announced.value,
          predecessors: Array.from({ length: 65 }, String),
        },
      }),
    "a Goodbye, after which it goes on": (s) =>
      s.send({ case: "goodbye", value: { message: "x".repeat(1 << 20) } }),
    "a bucket that comes in pieces of nothing": async (s) => {
      await s.send({
        ...announced,
        value: {
          ...announced.value,
          buckets: [{ ...digest, hash: Buffer.alloc(32, 1) }],
        },
      });
      await s.heard("bucketRequest", 2);
      await s.send({
        case: "bucketChunk",
        value: { seq: 2n, index, codec: Codec.IDENTITY },
      });
    },
    "a batch of no buckets": batch({}),
    "a batch with a bucket that was not asked for": batch({
      buckets: [{ index: (index + 1) % 1024, size: 1 }],
      data: Buffer.of(1),
      size: 1,
    }),
    "a batch with a bucket twice": batch({
      buckets: [digest, digest].map(({ index, size }) => ({ index, size })),
      data: Buffer.alloc(2 * digest.size),
      size: 2 * digest.size,
    }),
    "a batch with a bucket of another size than announced": batch({
      buckets: [{ index, size: digest.size + 1 }],
      data: Buffer.alloc(digest.size + 1),
      size: digest.size + 1,
    }),
    "a batch that inflates to more than it says": batch({
      buckets: [{ index, size: digest.size }],
      codec: Codec.GZIP,
      data: gzipSync(Buffer.alloc(64 << 20)),
      size: digest.size,
    }),
    "a bucket that was not asked for": async (s) => {
      await s.send({
        ...announced,
        value: {
          ...announced.value,
          buckets: [{ ...digest, hash: Buffer.alloc(32, 1) }],
        },
      });
      await s.heard("bucketRequest", 2);
      await s.send({
        case: "bucketChunk",
        value: {
          seq: 2n,
          index: (index + 1) % 1024,
          last: true,
          codec: Codec.IDENTITY,
          data: Buffer.of(1),
          size: 1,
        },
      });
    },
    "a chunk that leaves a gap": async (s) => {
      await s.send({
        ...announced,
        value: {
          ...announced.value,
          buckets: [{ ...digest, hash: Buffer.alloc(32, 1) }],
        },
      });
      await s.heard("bucketRequest", 2);
      await s.send({
        case: "bucketChunk",
        value: {
          seq: 2n,
          index,
          offset: 1,
          codec: Codec.IDENTITY,
          data: Buffer.of(1),
          size: 1,
        },
      });
    },
    "a message larger than any may be": (s) =>
      s.send({
        case: "goodbye",
        value: { message: "x".repeat(LIMITS.messageBytes) },
      }),
  };

  test.each(Object.entries(acts))(
    "%s",
    async (_name, act) => {
      await using dir = await TempDir.make();
      await using cp = await PuppetControlPlane.start();
      await using node = await TestNode.start(dir, cp.address);
      const stream = await cp.welcomed(1);
      await bring(stream, 1n, state);
      await act(stream);
      await eventually(() => stream.gone.aborted || undefined, "the end");
      // It serves what it did, says so, has refused nothing, and takes the next state.
      const again = await cp.welcomed(2);
      const hello = await again.heard("hello");
      expect(hello.have).toEqual(state.cursor);
      expect(hello.refused).toEqual([]);
      expect(plain(node.activation.active)).toEqual(plain(state));
      await bring(again, 1n, filled(2, 4));
      expect(plain(node.activation.active)).toEqual(plain(filled(2, 4)));
    },
    20_000,
  );

  test("a state before Welcome", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await cp.greeted(1);
    await offer(stream, 1n, state);
    await eventually(() => stream.gone.aborted || undefined, "the end");
    expect(node.activation.served).toEqual([]);
    await bring(await cp.welcomed(2), 1n, state);
  });
});

describe("what comes whole and is not what was announced is answered with ROOT_MISMATCH", () => {
  test("a bucket of other bytes, then a state of another root; the right ones are taken all the same", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await cp.welcomed(1);
    const state = filled(1, 5);
    const [[index, bucket] = []] = [...state.snapshot.buckets()];
    if (index === undefined || bucket === undefined) throw new Error("empty");
    await offer(stream, 1n, state);
    await stream.heard("bucketRequest");
    const other = Buffer.from(bucket.bytes);
    other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
    await stream.send({
      case: "bucketChunk",
      value: {
        seq: 1n,
        index,
        last: true,
        codec: Codec.IDENTITY,
        data: other,
        size: other.length,
      },
    });
    const nack = await stream.heard("nack");
    expect(nack).toMatchObject({ seq: 1n, class: NackClass.ROOT_MISMATCH });
    expect(nack.violations[0]?.reason).toBe(
      `bucket ${index} has another hash than announced`,
    );
    // Announced under a root that is not its own.
    await offer(stream, 2n, { ...state, cursor: cursor(1) });
    await feed(stream, state, 2);
    const second = await stream.heard("nack", 2);
    expect(second).toMatchObject({ seq: 2n, class: NackClass.ROOT_MISMATCH });
    expect(second.violations[0]?.reason).toMatch(/^the content has root /);
    expect(node.activation.served).toEqual([]);
    // All of its buckets came: nothing is asked for.
    await offer(stream, 3n, state);
    expect((await stream.heard("ack")).cursor).toEqual(state.cursor);
    expect(node.client.refusals).toEqual([]);
  });
});

describe("states that come while another is being applied", () => {
  test("wait for it, the newest of them is applied then, and every answer is about its own", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const activation = new Gated();
    await using node = await TestNode.start(dir, cp.address, { activation });
    const stream = await cp.welcomed(1);
    const [a, b, c] = [filled(1, 5), filled(2, 5), filled(3, 6)];
    await offer(stream, 1n, a);
    await feed(stream, a);
    const first = await activation.next();
    expect(first.state.cursor).toEqual(a.cursor);
    await offer(stream, 2n, b);
    await offer(stream, 3n, c);
    await eventually(
      async () => (await node.messages())["in manifest"] === 3 || undefined,
      "all three manifests",
    );
    first.open();
    expect(await stream.heard("ack")).toMatchObject({ seq: 1n });
    await feed(stream, c, 2);
    (await activation.next()).open();
    expect(await stream.heard("ack", 2)).toMatchObject({ seq: 3n });
    expect(activation.served.map(plain)).toEqual([plain(a), plain(c)]);
    expect(stream.received.some(({ message }) => message.case === "nack")).toBe(
      false,
    );
  });

  test("on a new stream are not taken for that of the old one, whose work goes on", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const activation = new Gated();
    await using node = await TestNode.start(dir, cp.address, { activation });
    const one = await cp.welcomed(1);
    const [a, b] = [filled(1, 5), filled(2, 6)];
    await offer(one, 1n, a);
    await feed(one, a);
    const old = await activation.next();
    await one.send(Buffer.from("this is not protobuf at all"));
    const two = await cp.welcomed(2);
    await offer(two, 1n, b);
    await feed(two, b);
    const fresh = await activation.next();
    expect(fresh.state.cursor).toEqual(b.cursor);
    // The old one says that it is done, with the seq that the new one has too.
    activation.judge = (state) =>
      state.cursor.revision === 1n ? "no good" : undefined;
    old.open();
    await eventually(async () => {
      await two.send({ case: "heartbeat", value: {} });
      return (await node.messages())["in heartbeat"] ?? undefined;
    }, "a heartbeat");
    fresh.open();
    expect(await two.heard("ack")).toMatchObject({ seq: 1n, cursor: b.cursor });
    expect(activation.served.map(plain)).toEqual([plain(b)]);
    expect(node.client.refusals).toEqual([]);
  });
});

test("what a Welcome says goes into the log within bounds", async () => {
  await using dir = await TempDir.make();
  await using cp = await PuppetControlPlane.start();
  const logger = new RecordingLogger();
  await using node = await TestNode.start(dir, cp.address, { logger });
  const stream = await cp.greeted(1);
  const long = "x".repeat(100_000);
  await stream.send({
    case: "welcome",
    value: {
      session: long,
      missing: Array.from({ length: 30 }, () => ({
        feature: { name: long.slice(0, 10_000) },
        keys: Array.from({ length: 50 }, () => long.slice(0, 200)),
        consequence: long.slice(0, 5_000),
      })),
    },
  });
  await eventually(
    () => logger.last("sync.feature_missing"),
    "what the node lacks",
  );
  const lines = logger.lines.filter(
    ({ event }) => event === "sync.feature_missing",
  );
  expect(lines).toHaveLength(16);
  expect(node.activation.served).toEqual([]);
  expect(
    JSON.stringify(lines[0]?.fields, (_key, value: unknown) =>
      typeof value === "bigint" ? Number(value) : value,
    ).length,
  ).toBeLessThan(4_096);
});
