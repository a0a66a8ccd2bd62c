import { describe, expect, test } from "vitest";
import { Staging } from "../../../src/dp/sync/staging.ts";
import {
  Codec,
  GoodbyeReason,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../../src/sync/limits.ts";
import { cursor } from "../../support/cursors.ts";
import { eventually } from "../../support/eventually.ts";
import { TestActivation, TestNode } from "../../support/link-harness.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { bring, feed, offer } from "../../support/offering.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { filled, plain } from "../../support/states.ts";
import { PuppetControlPlane } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

describe("a control plane that wastes a node's time", () => {
  test("by never saying Welcome is left after 30 s, for another", async () => {
    await using dir = await TempDir.make();
    await using mute = await PuppetControlPlane.start();
    await using other = await PuppetControlPlane.start();
    const clock = new ManualClock();
    await using node = await TestNode.start(
      dir,
      [mute.address, other.address],
      { clock },
    );
    const stream = await mute.greeted(1);
    clock.advance(30_000);
    expect(stream.gone.aborted).toBe(false);
    clock.advance(2_000);
    await eventually(() => stream.gone.aborted || undefined, "the end");
    await bring(await other.welcomed(1), 1n, filled(1, 5));
    expect(node.client.controlPlanes[0]?.lastError).toMatch(
      /^nothing was heard of the control plane for 3\d s$/,
    );
  });

  test("by never sending the buckets is left after 10 minutes, however alive it is", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const clock = new ManualClock();
    const logger = new RecordingLogger();
    await using node = await TestNode.start(dir, cp.address, { clock, logger });
    const stream = await cp.welcomed(1);
    await offer(stream, 1n, filled(1, 5));
    await stream.heard("bucketRequest");
    for (let beat = 1; beat <= 30; beat++) {
      clock.advance(20_000);
      await stream.send({ case: "heartbeat", value: {} });
      await eventually(
        async () =>
          ((await node.messages())["in heartbeat"] ?? 0) >= beat || undefined,
        "the heartbeat",
      );
    }
    expect(stream.gone.aborted).toBe(false);
    clock.advance(2_000);
    await eventually(() => stream.gone.aborted || undefined, "the end");
    await eventually(
      () => logger.last("sync.disconnected")?.fields["reason"],
      "the line",
    );
    expect(logger.last("sync.disconnected")?.fields["reason"]).toBe(
      "no bucket came within 600 s of the last",
    );
  });

  test("by never reading has its stream ended, and nothing piles up", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start({ reads: false });
    const logger = new RecordingLogger();
    await using node = await TestNode.start(dir, cp.address, { logger });
    const stream = await eventually(() => cp.streams[0], "the stream");
    await stream.send({ case: "welcome", value: {} });
    // Each is to be answered; nobody takes the answers.
    const empty = filled(0, 0);
    for (let seq = 1n; !stream.gone.aborted && seq < 20_000n; seq++)
      await offer(stream, seq, empty);
    await eventually(
      () => logger.last("sync.disconnected")?.fields["reason"],
      "the end",
    );
    expect(logger.last("sync.disconnected")?.fields["reason"]).toBe(
      "the control plane has left 256 messages unread",
    );
    expect(plain(node.activation.active)).toEqual(plain(empty));
  });

  test("by sending states faster than they are applied has the first and the last applied", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const activation = new TestActivation();
    let open = (): void => undefined;
    activation.gate = new Promise((resolve) => {
      open = resolve;
    });
    await using node = await TestNode.start(dir, cp.address, { activation });
    const stream = await cp.welcomed(1);
    await offer(stream, 1n, filled(1, 5));
    await feed(stream, filled(1, 5));
    const last = filled(2_000, 6);
    for (let seq = 2n; seq < 2_000n; seq++)
      await offer(stream, seq, { ...last, cursor: cursor(Number(seq)) });
    await offer(stream, 2_000n, last);
    await eventually(
      async () => (await node.messages())["in manifest"] === 2_000 || undefined,
      "all of them",
    );
    open();
    await feed(stream, last, 2);
    expect(await stream.heard("ack", 2)).toMatchObject({ seq: 2_000n });
    expect(activation.served.map((each) => each.cursor.revision)).toEqual([
      1n,
      2_000n,
    ]);
    expect(await node.messages()).toMatchObject({
      "out ack": 2,
      "out bucket_request": 2,
    });
  });

  test("by welcoming it and saying Goodbye again and again, with ever new control planes to go to, is come to less and less often", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const clock = new ManualClock();
    await using node = await TestNode.start(dir, cp.address, {
      clock,
      random: () => 0.999,
    });
    const waits: number[] = [];
    for (let n = 1; n <= 8; n++) {
      const stream = await cp.welcomed(n);
      await stream.send({
        case: "goodbye",
        value: {
          reason: GoodbyeReason.DRAIN,
          alternatives: Array.from({ length: 9 }, (_, i) => `10.0.${n}.${i}:1`),
        },
      });
      const waitMs = await eventually(
        () => node.client.controlPlanes[0]?.nextAttemptMs,
        "the wait",
      );
      waits.push(Math.round(waitMs));
      clock.advance(waitMs);
    }
    expect(waits).toEqual([250, 500, 999, 1998, 3996, 7992, 15_984, 29_970]);
    expect(node.client.controlPlanes).toHaveLength(1);
  });
});

test("a bucket that is announced large costs memory only as it comes", () => {
  const staging = new Staging();
  const size = 2 ** 31 - 1;
  staging.begin(
    [
      {
        $typeName: "holdfast.sync.v1.BucketDigest",
        index: 7,
        hash: Buffer.alloc(32, 1),
        size,
      },
    ],
    undefined,
    false,
  );
  const before = process.memoryUsage().arrayBuffers;
  const data = Buffer.alloc(LIMITS.chunkBytes, 1);
  const chunks = 40;
  for (let i = 0; i < chunks; i++)
    expect(
      staging.receive({
        $typeName: "holdfast.sync.v1.BucketChunk",
        seq: 1n,
        index: 7,
        offset: i * data.length,
        last: false,
        codec: Codec.IDENTITY,
        data,
        size: data.length,
      }),
    ).toEqual({ type: "more" });
  const came = chunks * data.length;
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * came);
});
