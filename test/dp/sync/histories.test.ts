import { describe, expect, test } from "vitest";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { NackClass } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { eventually } from "../../support/eventually.ts";
import {
  service,
  TestControlPlane,
  TestNode,
} from "../../support/link-harness.ts";
import { bring, feed, offer } from "../../support/offering.ts";
import { filled, plain, stateOf } from "../../support/states.ts";
import {
  PuppetControlPlane,
  type NodeStream,
} from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

/** Ten entries, of which the other history has so many. */
const served = stateOf(
  7,
  Array.from({ length: 10 }, (_, n) => [n, `a ${n}`]),
);
function foreign(kept: number, more = 0) {
  return stateOf(
    3,
    [
      ...Array.from({ length: kept }, (_, n) => [n, `b ${n}`] as const),
      ...Array.from({ length: more }, (_, n) => [100 + n, "new"] as const),
    ],
    { epoch: "another" },
  );
}

/** Welcomes the node and brings it what it serves. */
async function settle(cp: PuppetControlPlane): Promise<NodeStream> {
  const stream = await cp.welcomed(1);
  await bring(stream, 1n, served);
  return stream;
}

describe("a state of a history that is not the served one", () => {
  test("that would remove more than half is held back, remembered, and taken when somebody allows it", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await settle(cp);
    const state = foreign(4, 20);
    await offer(stream, 2n, state);
    await feed(stream, state, 2);
    const nack = await stream.heard("nack");
    expect(nack).toMatchObject({
      seq: 2n,
      class: NackClass.HELD,
      kept: served.cursor,
    });
    expect(nack.violations[0]?.reason).toContain("remove 6 of 10 entries");
    expect(plain(node.activation.active)).toEqual(plain(served));
    expect(node.client.refusals).toMatchObject([
      { class: NackClass.HELD, cursor: state.cursor },
    ]);
    await offer(stream, 3n, state, { allowed: true });
    expect((await stream.heard("ack", 2)).cursor).toEqual(state.cursor);
    expect(plain(node.activation.active)).toEqual(plain(state));
    expect(node.client.refusals).toEqual([]);
  });

  test("that keeps half or more is followed", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await settle(cp);
    const state = foreign(5);
    await offer(stream, 2n, state);
    await feed(stream, state, 2);
    expect((await stream.heard("ack", 2)).cursor).toEqual(state.cursor);
    expect(plain(node.activation.active)).toEqual(plain(state));
  });

  test("that has replaced the served one is followed whatever it removes", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await settle(cp);
    const state = foreign(0);
    await offer(stream, 2n, state, { predecessors: [served.cursor.epoch] });
    expect((await stream.heard("ack", 2)).cursor).toEqual(state.cursor);
    expect(plain(node.activation.active)).toEqual(plain(state));
  });
});

test("an older state of the served history is answered with STALE", async () => {
  await using dir = await TempDir.make();
  await using cp = await PuppetControlPlane.start();
  await using node = await TestNode.start(dir, cp.address);
  const stream = await settle(cp);
  await offer(stream, 2n, stateOf(6, [[1, "old"]]));
  expect(await stream.heard("nack")).toMatchObject({
    seq: 2n,
    class: NackClass.STALE,
    kept: served.cursor,
  });
  // The same revision with another content.
  await offer(stream, 3n, filled(7, 3));
  expect(await stream.heard("nack", 2)).toMatchObject({
    seq: 3n,
    class: NackClass.STALE,
  });
  expect(plain(node.activation.active)).toEqual(plain(served));
});

test("each time a control plane says that what is served is its newest state, that is told", async () => {
  await using dir = await TempDir.make();
  await using cp = await TestControlPlane.start(dir);
  const confirmed: Cursor[] = [];
  await using node = await TestNode.start(dir, cp.address, {
    onConfirmed: (cursor) => confirmed.push(cursor),
  });
  for (const name of ["a", "b"]) {
    await cp.put(service(name));
    await eventually(
      () => confirmed.at(-1)?.root === cp.catalog.head.cursor.root || undefined,
      "the word",
    );
    expect(node.activation.active?.cursor).toEqual(confirmed.at(-1));
  }
});
