import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  AckSchema,
  BucketDigestSchema,
  GoodbyeReason,
  HelloSchema,
  NackClass,
  NackSchema,
  ReportSchema,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../src/sync/limits.ts";
import { stepSession } from "../../src/sync/session.ts";
import { isPast, toldHead } from "../../src/sync/session/limit.ts";
import {
  openSession,
  type Limit,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from "../../src/sync/session/state.ts";
import { cursor } from "../support/cursors.ts";

type News = SessionEvent extends infer E
  ? E extends SessionEvent
    ? Omit<E, "nowMs">
    : never
  : never;

/** A session driven by hand: what it says to do is collected. */
class Driver {
  session: Session;
  nowMs = 1_000;
  effects: readonly SessionEffect[] = [];

  constructor(head: Cursor) {
    this.session = openSession(head, [], this.nowMs);
  }

  send(news: News): this {
    const event = { ...news, nowMs: this.nowMs } as SessionEvent;
    const step = stepSession(this.session, event);
    this.session = step.session;
    this.effects = step.effects;
    return this;
  }

  greet(
    have?: Cursor,
    options: {
      readonly refused?: readonly Cursor[];
      readonly held?: readonly Cursor[];
      readonly forked?: boolean;
      readonly allowed?: boolean;
    } = {},
  ): this {
    return this.send({
      type: "greeted",
      hello: create(HelloSchema, {
        node: { id: "n", boot: "b" },
        have,
        refused: [
          ...(options.refused ?? []).map((refused) => ({
            class: NackClass.INVALID,
            cursor: refused,
          })),
          ...(options.held ?? []).map((held) => ({
            class: NackClass.HELD,
            cursor: held,
          })),
        ],
      }),
      refusedRoots: [],
      forked: options.forked ?? false,
      allowed: options.allowed ?? false,
    }).send({ type: "drained" });
  }

  active(have?: Cursor): this {
    return this.greet(have).send({ type: "snapshotRequested" });
  }

  get alarms(): readonly string[] {
    return this.effects.flatMap((effect) =>
      effect.type === "alarm" ? [effect.message] : [],
    );
  }

  ack(seq: bigint, of: Cursor): this {
    return this.send({
      type: "acked",
      ack: create(AckSchema, { seq, cursor: of }),
    });
  }

  nack(seq: bigint, of: Cursor, nackClass: NackClass, kept?: Cursor): this {
    return this.send({
      type: "nacked",
      nack: create(NackSchema, { seq, cursor: of, class: nackClass, kept }),
    });
  }

  publish(head: Cursor): this {
    return this.send({ type: "published", head, needs: [] });
  }

  after(milliseconds: number): this {
    this.nowMs += milliseconds;
    return this;
  }

  get offers(): readonly Extract<SessionEffect, { type: "offer" }>[] {
    return this.effects.filter((effect) => effect.type === "offer");
  }

  get goodbyes(): readonly Extract<SessionEffect, { type: "goodbye" }>[] {
    return this.effects.filter((effect) => effect.type === "goodbye");
  }
}

const A = cursor(1);
const B = cursor(2);
const C = cursor(3);

describe("a limit: the node is pinned, or its workspace paused", () => {
  const limit = (head: Cursor, rest: Partial<Limit> = {}): News => ({
    type: "published",
    head,
    needs: [],
    limit: { successors: [], reachable: true, ...rest },
  });
  const foreign = cursor(2, "two", "next");

  test("its state is what is sent, and what the node is told to be the newest", () => {
    const driver = new Driver(C).send(limit(B)).active(A);
    expect(driver.offers).toMatchObject([{ to: B }]);
    expect(toldHead(driver.session)).toBe(B);
    driver.send({ type: "drained" }).ack(1n, B);
    expect(driver.publish(C).offers).toMatchObject([{ from: B, to: C }]);
  });

  test("a node that is past it is sent nothing, and told that it is where it stays, until the limit is gone", () => {
    const driver = new Driver(C).send(limit(A)).active(B);
    expect(driver.offers).toEqual([]);
    expect(isPast(driver.session)).toBe(true);
    expect(toldHead(driver.session)).toEqual(B);
    expect(driver.publish(C).offers).toMatchObject([{ to: C }]);
  });

  test("a node of an epoch that came after it is past it", () => {
    const driver = new Driver(C)
      .send(limit(B, { successors: ["next"], reachable: false }))
      .active(foreign);
    expect(driver.offers).toEqual([]);
    expect(isPast(driver.session)).toBe(true);
  });

  test("what cannot be sent any more is not sent", () => {
    const driver = new Driver(C).send(limit(B, { reachable: false })).active(A);
    expect(driver.offers).toEqual([]);
    expect(toldHead(driver.session)).toBe(B);
    expect(isPast(driver.session)).toBe(false);
  });

  test("a node that is being sent a later state is let go at once, and one that is being sent an earlier one is not", () => {
    const driver = new Driver(C).active(A).send({ type: "drained" });
    expect(driver.send(limit(B)).goodbyes).toMatchObject([
      { reason: GoodbyeReason.PINNED, retryAfterMs: 0 },
    ]);
    const other = new Driver(B).active(A).send({ type: "drained" });
    expect(other.send(limit(C)).effects).toEqual([]);
    expect(other.ack(1n, B).offers).toMatchObject([{ from: B, to: C }]);
  });

  test("a node that is forked stays so, whatever it is kept at", () => {
    const driver = new Driver(C)
      .send(limit(A, { successors: ["next"], reachable: false }))
      .greet(foreign, { forked: true })
      .send({ type: "snapshotRequested" });
    expect(driver.session.forked).toBe(true);
    expect(driver.publish(cursor(9, "nine", "next")).offers).toEqual([]);
  });

  test("a permission outlives it, as it is for the epoch of the history", () => {
    const driver = new Driver(C)
      .send(limit(A, { successors: ["next"], reachable: false }))
      .active(B)
      .send({ type: "allowed" });
    expect(driver.publish(foreign).offers).toMatchObject([
      { to: foreign, allowed: true },
    ]);
  });
});

describe("rule 1: full snapshot on connect", () => {
  test("a node with nothing is sent a manifest with hashes", () => {
    const driver = new Driver(A).active();
    expect(driver.offers).toEqual([
      {
        type: "offer",
        seq: 1n,
        from: undefined,
        to: A,
        known: false,
        whole: false,
        allowed: false,
        priority: false,
      },
    ]);
  });

  test("a node that serves the head is sent a manifest without hashes all the same", () => {
    const driver = new Driver(A).active(A);
    expect(driver.offers).toMatchObject([
      { from: undefined, to: A, known: true },
    ]);
  });

  test("a node that is behind is sent a manifest, never a delta, as the first state", () => {
    const driver = new Driver(B).active(A);
    expect(driver.offers).toMatchObject([
      { from: undefined, to: B, known: false },
    ]);
  });

  test("nothing is sent before SnapshotRequest", () => {
    const driver = new Driver(A).greet().publish(B);
    expect(driver.offers).toEqual([]);
  });
});

describe("rule 2: sent is not applied", () => {
  test("acked stays what the node said until it acknowledges", () => {
    const driver = new Driver(B).active(A);
    expect(driver.session.acked).toEqual(A);
    driver.send({ type: "drained" });
    expect(driver.session.acked).toEqual(A);
    driver.ack(1n, B);
    expect(driver.session.acked).toEqual(B);
  });

  test("an answer with a lower seq is ignored, one with a higher ends the stream", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    driver.ack(1n, A).publish(B).send({ type: "drained" });
    driver.ack(1n, A);
    expect(driver.effects).toEqual([]);
    expect(driver.session.inFlight?.seq).toBe(2n);
    driver.ack(3n, B);
    expect(driver.goodbyes).toMatchObject([{ reason: GoodbyeReason.PROTOCOL }]);
    expect(driver.session.at).toBe("ended");
  });

  test("an ack of another cursor than was sent ends the stream", () => {
    const driver = new Driver(A).active().ack(1n, B);
    expect(driver.goodbyes).toMatchObject([{ reason: GoodbyeReason.PROTOCOL }]);
  });

  test("a new cursor with the old content is sent too", () => {
    const same = cursor(2, "content 1");
    const driver = new Driver(A).active().send({ type: "drained" }).ack(1n, A);
    driver.publish(same);
    expect(driver.offers).toMatchObject([{ from: A, to: same, known: true }]);
  });
});

describe("rule 3: one outstanding frame", () => {
  test("what is committed while a frame is unanswered travels as one delta", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    for (let revision = 2; revision <= 100; revision++) {
      driver.publish(cursor(revision));
      expect(driver.offers).toEqual([]);
    }
    driver.ack(1n, A);
    expect(driver.offers).toMatchObject([
      { seq: 2n, from: A, to: cursor(100) },
    ]);
  });

  test("nothing is written before the last write has drained", () => {
    const driver = new Driver(A).active();
    driver.ack(1n, A).publish(B);
    expect(driver.offers).toEqual([]);
    driver.send({ type: "drained" });
    expect(driver.offers).toMatchObject([{ from: A, to: B }]);
  });

  test("buckets of the frame in flight are written, of an earlier one they are not", () => {
    const digest = create(BucketDigestSchema, {
      index: 7,
      hash: new Uint8Array(32),
    });
    const ask = (seq: bigint): News => ({
      type: "bucketsRequested",
      seq,
      buckets: [digest],
      bytes: 100,
      unknown: 0,
    });
    const driver = new Driver(A).active().send({ type: "drained" });
    driver.send(ask(1n));
    expect(driver.effects).toEqual([
      { type: "writeBuckets", seq: 1n, of: A, indexes: [7] },
    ]);
    driver.ack(1n, A).publish(B).send({ type: "drained" }).send(ask(1n));
    expect(driver.effects).toEqual([]);
  });

  test("more than the window of buckets at once ends the stream, a single larger one does not", () => {
    let next = 0;
    const ask = (count: number, bytes: number): News => ({
      type: "bucketsRequested",
      seq: 1n,
      buckets: Array.from({ length: count }, () =>
        create(BucketDigestSchema, {
          index: next++,
          hash: new Uint8Array(32),
        }),
      ),
      bytes,
      unknown: 0,
    });
    // A request may come before the write of what it follows is known to have drained.
    const big = 2 * LIMITS.bucketWindowBytes + 1;
    expect(new Driver(A).active().send(ask(1, big)).goodbyes).toEqual([]);
    expect(new Driver(A).active().send(ask(2, big)).goodbyes).toHaveLength(1);
    expect(
      new Driver(A)
        .active()
        .send(ask(1, big - 2))
        .send(ask(1, 2)).goodbyes,
    ).toHaveLength(1);
  });

  test("a bucket that is asked for twice ends the stream: what waits to be written is bounded by how many there are", () => {
    const digest = (index: number) =>
      create(BucketDigestSchema, { index, hash: new Uint8Array(32) });
    const ask = (...indexes: readonly number[]): News => ({
      type: "bucketsRequested",
      seq: 1n,
      buckets: indexes.map(digest),
      bytes: 1,
      unknown: 0,
    });
    const again = new Driver(A).active().send(ask(1, 2)).send(ask(3, 1));
    expect(again.goodbyes[0]?.message).toContain("bucket 1");
    expect(new Driver(A).active().send(ask(4, 4)).goodbyes).toHaveLength(1);
    const apart = new Driver(A).active().send(ask(1, 2)).send(ask(3, 4));
    expect(apart.goodbyes).toEqual([]);
    // Of the next frame it may be asked for again.
    apart.send({ type: "drained" }).send({ type: "unpinned", seq: 1n });
    apart.send({ ...ask(1), seq: 2n } as News);
    expect(apart.goodbyes).toEqual([]);
  });

  test("a bucket that was not offered ends the stream", () => {
    const driver = new Driver(A).active().send({
      type: "bucketsRequested",
      seq: 1n,
      buckets: [],
      bytes: 0,
      unknown: 1,
    });
    expect(driver.goodbyes).toMatchObject([{ reason: GoodbyeReason.PROTOCOL }]);
  });
});

describe("rule 3: a state that is no longer kept for pulling", () => {
  test("is replaced by the head as a manifest, at once", () => {
    const driver = new Driver(A).active().send({ type: "drained" }).publish(B);
    expect(driver.offers).toEqual([]);
    expect(driver.send({ type: "unpinned", seq: 1n }).offers).toMatchObject([
      { seq: 2n, from: undefined, to: B, priority: false },
    ]);
    // An Ack of the one that was replaced may be on its way: it says what the node serves, and answers nothing else.
    driver.ack(1n, A);
    expect(driver.session).toMatchObject({
      acked: A,
      inFlight: { seq: 2n },
    });
  });

  test("gets priority when it was replaced three times in a row, until one arrives", () => {
    const driver = new Driver(A).active();
    for (const seq of [1n, 2n, 3n])
      driver.send({ type: "drained" }).send({ type: "unpinned", seq });
    expect(driver.offers).toMatchObject([{ seq: 4n, priority: true }]);
    driver.ack(4n, A).send({ type: "drained" });
    expect(driver.publish(B).offers).toMatchObject([{ priority: false }]);
  });

  test("is let go while nothing takes its place: what the node says of it counts, what it asks for is ignored", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    const needs = [{ name: "kind/new", version: 1, keys: [] }];
    driver.send({ type: "published", head: B, needs });
    expect(driver.send({ type: "unpinned", seq: 1n }).offers).toEqual([]);
    const ask: News = {
      type: "bucketsRequested",
      seq: 1n,
      buckets: [],
      bytes: 0,
      unknown: 1,
    };
    expect(driver.send(ask).effects).toEqual([]);
    driver.after(LIMITS.stallMs + 1).ack(1n, A);
    expect(driver.session).toMatchObject({ acked: A, inFlight: undefined });
  });

  test("of an earlier frame, or one that is answered, changes nothing", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    expect(driver.send({ type: "unpinned", seq: 9n }).offers).toEqual([]);
    driver.ack(1n, A);
    expect(driver.send({ type: "unpinned", seq: 1n }).offers).toEqual([]);
  });
});

describe("rule 5: refusals", () => {
  test.each([NackClass.INVALID, NackClass.UNSUPPORTED, NackClass.CRASHED])(
    "a root refused with class %i is not sent again, another head is, as a delta from what was kept",
    (nackClass) => {
      const driver = new Driver(A).active().send({ type: "drained" });
      driver.ack(1n, A).publish(B).send({ type: "drained" });
      driver.nack(2n, B, nackClass, A);
      expect(driver.offers).toEqual([]);
      driver.publish(cursor(3, "content 2"));
      expect(driver.offers).toEqual([]);
      driver.publish(cursor(4));
      expect(driver.offers).toMatchObject([{ from: A, to: cursor(4) }]);
    },
  );

  test("a root that the node says to have refused before is not sent on a new stream", () => {
    const driver = new Driver(B)
      .greet(A, { refused: [B] })
      .send({ type: "snapshotRequested" });
    expect(driver.offers).toEqual([]);
    driver.publish(C);
    expect(driver.offers).toMatchObject([{ from: undefined, to: C }]);
  });

  test("a person may ask for another try", () => {
    const driver = new Driver(B)
      .greet(A, { refused: [B] })
      .send({ type: "snapshotRequested" })
      .send({ type: "retried" });
    expect(driver.offers).toMatchObject([{ to: B }]);
  });

  test("after LOCAL_IO the node tries by itself: its late ack counts, a newer head goes at once", () => {
    const stuck = (): Driver => {
      const driver = new Driver(A).active().send({ type: "drained" });
      driver.ack(1n, A).publish(B).send({ type: "drained" });
      return driver.nack(2n, B, NackClass.LOCAL_IO, A);
    };
    expect(stuck().offers).toEqual([]);
    expect(stuck().ack(2n, B).session.acked).toEqual(B);
    expect(stuck().publish(C).offers).toMatchObject([
      { seq: 3n, from: A, to: C },
    ]);
    expect(
      stuck()
        .after(LIMITS.stallMs + 1)
        .send({ type: "reported", report: create(ReportSchema) })
        .send({ type: "ticked" }).goodbyes,
    ).toEqual([]);
  });

  test("ROOT_MISMATCH is answered with a manifest, the second time with all buckets whole, the third with Goodbye for 5 minutes and an alarm", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    driver.ack(1n, A).publish(B).send({ type: "drained" });
    expect(driver.session.inFlight?.seq).toBe(2n);
    driver.nack(2n, B, NackClass.ROOT_MISMATCH, A);
    expect(driver.offers).toMatchObject([{ from: undefined, whole: false }]);
    driver.send({ type: "drained" }).nack(3n, B, NackClass.ROOT_MISMATCH, A);
    expect(driver.offers).toMatchObject([{ from: undefined, whole: true }]);
    driver.send({ type: "drained" }).nack(4n, B, NackClass.ROOT_MISMATCH, A);
    expect(driver.effects.map((effect) => effect.type)).toEqual([
      "alarm",
      "goodbye",
    ]);
    expect(driver.goodbyes).toMatchObject([
      { reason: GoodbyeReason.PROTOCOL, retryAfterMs: 5 * 60_000 },
    ]);
  });
});

describe("what an answer makes an end of", () => {
  test("wrong roots in a row: an Ack between them begins to count anew", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    driver.nack(1n, A, NackClass.ROOT_MISMATCH).send({ type: "drained" });
    driver.nack(2n, A, NackClass.ROOT_MISMATCH).send({ type: "drained" });
    driver.ack(3n, A).publish(B).send({ type: "drained" });
    driver.nack(4n, B, NackClass.ROOT_MISMATCH, A);
    expect(driver.goodbyes).toEqual([]);
    expect(driver.offers).toMatchObject([{ to: B, whole: false }]);
  });

  test.each([NackClass.INVALID, NackClass.STALE, NackClass.HELD])(
    "wrong roots in a row: a Nack of class %i between them does, too",
    (nackClass) => {
      const driver = new Driver(A).active().send({ type: "drained" });
      driver.nack(1n, A, NackClass.ROOT_MISMATCH).send({ type: "drained" });
      driver.nack(2n, A, NackClass.ROOT_MISMATCH).send({ type: "drained" });
      driver.nack(3n, A, nackClass);
      expect(driver.session.mismatches).toBe(0);
    },
  );

  test("what was held back before a state that the node took", () => {
    const foreign = cursor(5, "foreign", "another epoch");
    const driver = new Driver(A).active(foreign).send({ type: "drained" });
    driver.nack(1n, A, NackClass.HELD, foreign).publish(B);
    driver.send({ type: "drained" }).ack(2n, B).publish(A);
    expect(driver.session.held).toBeUndefined();
  });
});

describe("rule 6: never backwards by accident", () => {
  const ahead = cursor(9, "ahead");
  const foreign = cursor(5, "foreign", "another epoch");

  test("a node that serves what this history does not have is sent nothing, whatever is committed, and somebody is told", () => {
    const driver = new Driver(A).greet(ahead, { forked: true });
    driver.send({ type: "snapshotRequested" });
    expect(driver.offers).toEqual([]);
    expect(driver.publish(B).offers).toEqual([]);
    expect(driver.publish(cursor(10)).offers).toEqual([]);
    expect(driver.session.forked).toBe(true);
    expect(
      new Driver(A).send({
        type: "greeted",
        hello: create(HelloSchema, {
          node: { id: "n", boot: "b" },
          have: ahead,
        }),
        refusedRoots: [],
        forked: true,
        allowed: false,
      }).alarms,
    ).toEqual([expect.stringContaining("holdfast adopt")]);
  });

  test("a new epoch ends it: the node is sent a manifest", () => {
    const driver = new Driver(A).greet(ahead, { forked: true });
    driver.send({ type: "snapshotRequested" });
    const adopted = cursor(1, "content 1", "adopted");
    expect(driver.publish(adopted).offers).toMatchObject([
      { from: undefined, to: adopted },
    ]);
    expect(driver.session.forked).toBe(false);
  });

  test("what the node serves may turn up in the history after all", () => {
    const driver = new Driver(A).greet(B, { forked: true });
    driver.send({ type: "snapshotRequested" });
    expect(driver.publish(C).offers).toEqual([]);
    expect(driver.send({ type: "placed", forked: false }).offers).toMatchObject(
      [{ to: C }],
    );
  });

  test("LOCAL_IO says that the root was right: wrong roots before it no longer count", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    driver.nack(1n, A, NackClass.ROOT_MISMATCH).send({ type: "drained" });
    driver.nack(2n, A, NackClass.ROOT_MISMATCH).send({ type: "drained" });
    driver.nack(3n, A, NackClass.LOCAL_IO).publish(B).send({ type: "drained" });
    driver.nack(4n, B, NackClass.ROOT_MISMATCH);
    expect(driver.goodbyes).toEqual([]);
    expect(driver.offers).toMatchObject([{ to: B, whole: false }]);
  });

  test("STALE for a state of an epoch that was replaced meanwhile is no fork", () => {
    const ahead = cursor(9);
    const driver = new Driver(A).active(ahead).send({ type: "drained" });
    const adopted = cursor(1, "content 1", "adopted");
    driver.publish(adopted).nack(1n, A, NackClass.STALE, ahead);
    expect(driver.offers).toMatchObject([{ to: adopted, from: undefined }]);
    expect(driver.session.forked).toBe(false);
  });

  test("STALE means that the node is ahead: nothing more is sent and somebody is told", () => {
    const driver = new Driver(A).active();
    driver.nack(1n, A, NackClass.STALE, ahead);
    expect(driver.alarms).toEqual([expect.stringContaining("revision 9")]);
    expect(driver.session).toMatchObject({ forked: true, acked: ahead });
    expect(driver.publish(B).offers).toEqual([]);
  });

  test("another epoch is never sent as a delta", () => {
    const driver = new Driver(A).active().ack(1n, A).send({ type: "drained" });
    const adopted = cursor(1, "content 1", "adopted");
    expect(driver.publish(adopted).offers).toMatchObject([
      { from: undefined, to: adopted, known: true },
    ]);
  });

  test("what a node holds back is not offered again until somebody allows it, and then as a manifest that says so", () => {
    const driver = new Driver(A).active(foreign).send({ type: "drained" });
    driver.nack(1n, A, NackClass.HELD, foreign);
    expect(driver.alarms).toEqual([expect.stringContaining("nodes allow")]);
    expect(driver.offers).toEqual([]);
    expect(driver.publish(A).offers).toEqual([]);
    expect(driver.send({ type: "allowed" }).offers).toMatchObject([
      { seq: 2n, to: A, from: undefined, allowed: true },
    ]);
    driver.ack(2n, A).send({ type: "drained" });
    expect(driver.publish(B).offers).toMatchObject([{ allowed: false }]);
  });

  test("what a node holds back is offered again when somebody asks for another try, without permission", () => {
    const driver = new Driver(A).active(foreign).send({ type: "drained" });
    driver.nack(1n, A, NackClass.HELD, foreign);
    expect(driver.send({ type: "retried" }).offers).toMatchObject([
      { seq: 2n, to: A, allowed: false },
    ]);
  });

  test("a node whose state was looked for in an epoch that was replaced meanwhile is not forked: it is sent the new one", () => {
    const adopted = cursor(1, "content 1", "adopted");
    const driver = new Driver(A)
      .publish(adopted)
      .greet(ahead, { forked: true });
    expect(driver.session.forked).toBe(false);
    expect(driver.send({ type: "snapshotRequested" }).offers).toMatchObject([
      { from: undefined, to: adopted },
    ]);
  });

  test("another state than the one held back is offered: it may remove less", () => {
    const driver = new Driver(A).active(foreign).send({ type: "drained" });
    driver.nack(1n, A, NackClass.HELD, foreign);
    expect(driver.publish(B).offers).toMatchObject([
      { to: B, from: undefined, allowed: false },
    ]);
  });

  test("a node that says Hello and holds the head back is not offered it; one that was allowed meanwhile is", () => {
    const held = new Driver(A).greet(foreign, { held: [A] });
    expect(held.send({ type: "snapshotRequested" }).offers).toEqual([]);
    const allowed = new Driver(A).greet(foreign, { held: [A], allowed: true });
    expect(allowed.send({ type: "snapshotRequested" }).offers).toMatchObject([
      { to: A, allowed: true },
    ]);
  });

  test("a permission that comes while a frame without it is on its way is not used up by the answer", () => {
    const driver = new Driver(A).active(foreign).send({ type: "drained" });
    driver.send({ type: "allowed" }).nack(1n, A, NackClass.HELD, foreign);
    expect(driver.offers).toMatchObject([{ seq: 2n, to: A, allowed: true }]);
  });

  test("a node that held the head back and serves nothing any more is offered it", () => {
    const driver = new Driver(A).greet(undefined, { held: [A] });
    expect(driver.send({ type: "snapshotRequested" }).offers).toMatchObject([
      { to: A },
    ]);
  });

  test("a node that held the head's root back and has fallen back to a state of its epoch is offered it", () => {
    const head = cursor(2, "content 1");
    const driver = new Driver(head).greet(A, { held: [A] });
    expect(driver.send({ type: "snapshotRequested" }).offers).toMatchObject([
      { to: head },
    ]);
  });

  test("HELD in spite of a permission uses it up: it is not offered for ever", () => {
    const driver = new Driver(A).greet(foreign, { allowed: true });
    driver.send({ type: "snapshotRequested" }).send({ type: "drained" });
    driver.nack(1n, A, NackClass.HELD, foreign);
    expect(driver.offers).toEqual([]);
    expect(driver.session.allowed).toBe(false);
  });

  test("a permission that comes while the state is on its way without it stands", () => {
    const driver = new Driver(A).active(foreign).send({ type: "drained" });
    driver.send({ type: "allowed" });
    expect(driver.offers).toEqual([]);
    driver.nack(1n, A, NackClass.HELD, foreign);
    expect(driver.offers).toMatchObject([{ seq: 2n, to: A, allowed: true }]);
  });

  test("a permission is for one epoch", () => {
    const driver = new Driver(A).greet(foreign, { allowed: true });
    expect(driver.publish(cursor(1, "x", "third")).session.allowed).toBe(false);
  });
});

describe("rule 8: liveness and progress", () => {
  test("a node that is silent for 30 s is given up", () => {
    const driver = new Driver(A).active(A).send({ type: "drained" });
    driver.ack(1n, A);
    expect(driver.after(30_000).send({ type: "ticked" }).goodbyes).toEqual([]);
    expect(driver.after(1).send({ type: "ticked" }).goodbyes).toMatchObject([
      { reason: GoodbyeReason.STALLED },
    ]);
  });

  test("heartbeats go every 10 s, and are skipped while the stream has not drained", () => {
    const driver = new Driver(A).active(A).send({ type: "drained" });
    driver.ack(1n, A).after(10_000).send({ type: "ticked" });
    expect(driver.effects).toEqual([{ type: "heartbeat" }]);
    driver.after(10_000).send({ type: "ticked" });
    expect(driver.effects).toEqual([]);
    driver.send({ type: "drained" }).send({ type: "ticked" });
    expect(driver.effects).toEqual([{ type: "heartbeat" }]);
  });

  test("60 s without an answer end the stream; progress extends that, to 10 minutes", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    const hear = (done: number): Driver =>
      driver.after(10_000).send({
        type: "reported",
        report: create(ReportSchema, {
          progress: { seq: 1n, step: "prepare", done: BigInt(done) },
        }),
      });
    for (let i = 1; i <= 59; i++) {
      expect(hear(i).send({ type: "ticked" }).goodbyes).toEqual([]);
    }
    hear(60);
    expect(hear(61).send({ type: "ticked" }).goodbyes).toMatchObject([
      { reason: GoodbyeReason.STALLED },
    ]);
  });

  test("nothing more is awaited of a state that is no longer kept: the node is given up for silence only", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    const needs = [{ name: "kind/new", version: 1, keys: [] }];
    driver.send({ type: "published", head: B, needs });
    driver.send({ type: "unpinned", seq: 1n });
    for (let heardMs = 0; heardMs <= 2 * LIMITS.applyMs; heardMs += 10_000) {
      driver.after(10_000);
      driver.send({ type: "reported", report: create(ReportSchema) });
      expect(driver.send({ type: "ticked" }).goodbyes).toEqual([]);
    }
    expect(
      driver.after(LIMITS.deadMs + 1).send({ type: "ticked" }).goodbyes,
    ).toMatchObject([{ reason: GoodbyeReason.STALLED }]);
  });

  test("that a heartbeat has drained is no progress", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    const hear = (): Driver => {
      driver.after(10_000).send({ type: "ticked" });
      const { goodbyes } = driver;
      if (goodbyes.length > 0) return driver;
      driver.send({ type: "drained" });
      return driver.send({ type: "reported", report: create(ReportSchema) });
    };
    for (let i = 0; i < 6; i++) expect(hear().session.at).toBe("active");
    expect(hear().goodbyes).toMatchObject([{ reason: GoodbyeReason.STALLED }]);
  });

  test("a report that repeats the same progress is no progress", () => {
    const driver = new Driver(A).active().send({ type: "drained" });
    const hear = (): Driver =>
      driver.after(10_000).send({
        type: "reported",
        report: create(ReportSchema, {
          progress: { seq: 1n, step: "prepare", done: 5n },
        }),
      });
    for (let i = 0; i < 7; i++)
      expect(hear().send({ type: "ticked" }).goodbyes).toEqual([]);
    expect(hear().send({ type: "ticked" }).goodbyes).toMatchObject([
      { reason: GoodbyeReason.STALLED },
    ]);
  });
});

describe("rule 11: nothing is withheld or rewritten", () => {
  const needs = [{ name: "plugin/acl", version: 1, keys: ["plugin/1"] }];

  test("a state that needs what the node lacks is not sent, the Welcome names it, and the next that does not is", () => {
    const driver = new Driver(A);
    driver.send({ type: "published", head: A, needs });
    driver.send({
      type: "greeted",
      hello: create(HelloSchema, { node: { id: "n", boot: "b" } }),
      refusedRoots: [],
      forked: false,
      allowed: false,
    });
    expect(driver.effects).toMatchObject([
      {
        type: "welcome",
        missing: [{ feature: { name: "plugin/acl" }, keys: ["plugin/1"] }],
      },
    ]);
    driver.send({ type: "drained" }).send({ type: "snapshotRequested" });
    expect(driver.offers).toEqual([]);
    driver.publish(B);
    expect(driver.offers).toMatchObject([{ to: B }]);
  });

  test("a node that fails routes is sent a state whose plugins it lacks, but not one whose kinds it lacks", () => {
    const offers = (name: string): number => {
      const driver = new Driver(A);
      driver.send({
        type: "published",
        head: A,
        needs: [{ name, version: 1, keys: ["x/1"] }],
      });
      driver
        .send({
          type: "greeted",
          hello: create(HelloSchema, {
            node: { id: "n", boot: "b" },
            features: [{ name: "config/fail-route", version: 1 }],
          }),
          refusedRoots: [],
          forked: false,
          allowed: false,
        })
        .send({ type: "drained" })
        .send({ type: "snapshotRequested" });
      return driver.offers.length;
    };
    expect(offers("plugin/acl")).toBe(1);
    expect(offers("kind/vault")).toBe(0);
  });

  test("a node with a lower version of a feature lacks it, with a higher one it does not", () => {
    const offers = (version: number): number => {
      const driver = new Driver(A);
      driver.send({
        type: "published",
        head: A,
        needs: [{ name: "plugin/acl", version: 2, keys: [] }],
      });
      return driver
        .send({
          type: "greeted",
          hello: create(HelloSchema, {
            node: { id: "n", boot: "b" },
            features: [{ name: "plugin/acl", version }],
          }),
          refusedRoots: [],
          forked: false,
          allowed: false,
        })
        .send({ type: "drained" })
        .send({ type: "snapshotRequested" }).offers.length;
    };
    expect([1, 2, 3].map(offers)).toEqual([0, 1, 1]);
  });
});

describe("every state says what it does with every event", () => {
  type Type = SessionEvent["type"];
  type Verdict = "goes on" | "breach" | "ended";
  const digest = create(BucketDigestSchema, { hash: new Uint8Array(32) });
  const events: Record<Type, News> = {
    greeted: {
      type: "greeted",
      hello: create(HelloSchema, { node: { id: "n", boot: "b" } }),
      refusedRoots: [],
      forked: false,
      allowed: false,
    },
    snapshotRequested: { type: "snapshotRequested" },
    published: { type: "published", head: B, needs: [] },
    bucketsRequested: {
      type: "bucketsRequested",
      seq: 1n,
      buckets: [digest],
      bytes: 1,
      unknown: 0,
    },
    bucketsWritten: { type: "bucketsWritten", bytes: 1 },
    acked: { type: "acked", ack: create(AckSchema, { seq: 1n, cursor: A }) },
    nacked: {
      type: "nacked",
      nack: create(NackSchema, {
        seq: 1n,
        cursor: A,
        class: NackClass.INVALID,
      }),
    },
    reported: { type: "reported", report: create(ReportSchema) },
    drained: { type: "drained" },
    ticked: { type: "ticked" },
    retried: { type: "retried" },
    allowed: { type: "allowed" },
    placed: { type: "placed", forked: false },
    unpinned: { type: "unpinned", seq: 1n },
    dismissed: {
      type: "dismissed",
      reason: GoodbyeReason.DRAIN,
      message: "",
    },
    broke: { type: "broke", message: "" },
    disconnected: { type: "disconnected" },
  };
  const table: Record<Session["at"], Record<Type, Verdict>> = {
    opening: {
      greeted: "goes on",
      snapshotRequested: "breach",
      published: "goes on",
      bucketsRequested: "breach",
      bucketsWritten: "goes on",
      acked: "breach",
      nacked: "breach",
      reported: "breach",
      drained: "goes on",
      ticked: "goes on",
      retried: "goes on",
      allowed: "goes on",
      placed: "goes on",
      unpinned: "goes on",
      dismissed: "ended",
      broke: "breach",
      disconnected: "ended",
    },
    greeted: {
      greeted: "breach",
      snapshotRequested: "goes on",
      published: "goes on",
      bucketsRequested: "breach",
      bucketsWritten: "goes on",
      acked: "breach",
      nacked: "breach",
      reported: "goes on",
      drained: "goes on",
      ticked: "goes on",
      retried: "goes on",
      allowed: "goes on",
      placed: "goes on",
      unpinned: "goes on",
      dismissed: "ended",
      broke: "breach",
      disconnected: "ended",
    },
    active: {
      greeted: "breach",
      snapshotRequested: "breach",
      published: "goes on",
      bucketsRequested: "goes on",
      bucketsWritten: "goes on",
      acked: "goes on",
      nacked: "goes on",
      reported: "goes on",
      drained: "goes on",
      ticked: "goes on",
      retried: "goes on",
      allowed: "goes on",
      placed: "goes on",
      unpinned: "goes on",
      dismissed: "ended",
      broke: "breach",
      disconnected: "ended",
    },
    ended: {
      greeted: "ended",
      snapshotRequested: "ended",
      published: "ended",
      bucketsRequested: "ended",
      bucketsWritten: "ended",
      acked: "ended",
      nacked: "ended",
      reported: "ended",
      drained: "ended",
      ticked: "ended",
      retried: "ended",
      allowed: "ended",
      placed: "ended",
      unpinned: "ended",
      dismissed: "ended",
      broke: "ended",
      disconnected: "ended",
    },
  };
  const enter: Record<Session["at"], () => Driver> = {
    opening: () => new Driver(A),
    greeted: () => new Driver(A).greet(),
    active: () => new Driver(A).active(),
    ended: () => new Driver(A).send({ type: "disconnected" }),
  };
  const cells = (Object.keys(table) as Session["at"][]).flatMap((at) =>
    (Object.keys(events) as Type[]).map(
      (type) => [at, type, table[at][type]] as const,
    ),
  );

  test.each(cells)("%s x %s: %s", (at, type, verdict) => {
    const driver = enter[at]();
    expect(driver.session.at).toBe(at);
    driver.send(events[type]);
    const broke = driver.goodbyes.some(
      (goodbye) => goodbye.reason === GoodbyeReason.PROTOCOL,
    );
    const got: Verdict = broke
      ? "breach"
      : driver.session.at === "ended"
        ? "ended"
        : "goes on";
    expect(got).toBe(verdict);
  });
});
