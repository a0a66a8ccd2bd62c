import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  BucketDigestSchema,
  NackClass,
  RefusalSchema,
  ViolationSchema,
  type BucketDigest,
  type Refusal,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../src/sync/limits.ts";
import { nackClassName } from "../../src/sync/names.ts";
import { mayConnect, stepReplica } from "../../src/sync/replica.ts";
import {
  openReplica,
  type Apply,
  type Frame,
  type Replica,
  type ReplicaEffect,
  type ReplicaEvent,
} from "../../src/sync/replica/state.ts";
import { cursor } from "../support/cursors.ts";

type News = ReplicaEvent extends infer E
  ? E extends ReplicaEvent
    ? Omit<E, "nowMs">
    : never
  : never;

const A = cursor(1);
const B = cursor(2);
const C = cursor(3);

function digest(index: number, size = 10): BucketDigest {
  return create(BucketDigestSchema, {
    index,
    size,
    hash: Buffer.alloc(32, index % 256),
  });
}

function manifest(
  seq: number,
  to: Cursor,
  buckets: readonly BucketDigest[] = [digest(1)],
): Extract<Frame, { type: "manifest" }> {
  return {
    type: "manifest",
    seq: BigInt(seq),
    to,
    buckets,
    totals: {
      buckets: buckets.length,
      entries: 1n,
      bytes: BigInt(buckets.reduce((sum, { size }) => sum + size, 0)),
    },
    predecessors: [],
    allowed: false,
  };
}

function delta(seq: number, from: Cursor, to: Cursor): Frame {
  return { type: "delta", seq: BigInt(seq), from, to };
}

function refusalOf(
  refused: Cursor,
  refusal: NackClass = NackClass.INVALID,
): Refusal {
  return create(RefusalSchema, { class: refusal, cursor: refused });
}

/** A replica driven by hand: what it says to do is collected. */
class Driver {
  replica: Replica;
  nowMs = 1_000;
  effects: readonly ReplicaEffect[] = [];

  constructor(serving?: Cursor, refusals: readonly Refusal[] = []) {
    this.replica = openReplica(serving, refusals, this.nowMs);
  }

  send(news: News): this {
    const event = { ...news, nowMs: this.nowMs } as ReplicaEvent;
    const step = stepReplica(this.replica, event);
    this.replica = step.replica;
    this.effects = step.effects;
    return this;
  }

  connect(): this {
    return this.send({ type: "connected" });
  }

  online(): this {
    return this.connect().send({ type: "welcomed" });
  }

  arrive(frame: Frame): this {
    return this.send({ type: "arrived", frame });
  }

  /** Arrives and is taken up, lacking these. */
  offer(frame: Frame, lacking: readonly BucketDigest[] = []): this {
    return this.arrive(frame).send({
      type: "takenUp",
      seq: frame.seq,
      lacking,
    });
  }

  get seq(): bigint {
    return this.replica.apply?.frame.seq ?? 0n;
  }

  bucket(index: number, damage?: string): this {
    return this.send({
      type: "bucketArrived",
      seq: this.seq,
      index,
      ...(damage === undefined ? {} : { damage }),
    });
  }

  /** Proved, and of another epoch than what is served. */
  loses(removed: number, held: number): this {
    return this.send({
      type: "verified",
      seq: this.seq,
      loses: { removed, held },
    });
  }

  verified(damage?: string): this {
    return this.send({
      type: "verified",
      seq: this.seq,
      ...(damage === undefined ? {} : { damage }),
    });
  }

  prepared(): this {
    return this.send({ type: "prepared", seq: this.seq });
  }

  refused(refusal: NackClass = NackClass.INVALID, count = 1): this {
    return this.send({
      type: "refused",
      seq: this.seq,
      class: refusal,
      violations: Array.from({ length: count }, (_, i) =>
        create(ViolationSchema, { key: "route/x", field: `f${i}` }),
      ),
    });
  }

  persisted(failure?: string): this {
    return this.send({
      type: "persisted",
      seq: this.seq,
      ...(failure === undefined ? {} : { failure }),
    });
  }

  retryDue(): this {
    return this.send({ type: "retryDue", seq: this.seq });
  }

  committed(): this {
    return this.send({ type: "committed", seq: this.seq });
  }

  after(milliseconds: number): this {
    this.nowMs += milliseconds;
    return this;
  }

  /** What the last event said to do, in a few words. */
  get does(): readonly string[] {
    return this.effects.flatMap((effect) => {
      switch (effect.type) {
        // Has tests of its own: it says nothing of what is done.
        case "confirmed":
          return [];
        case "ack":
          return `ack ${effect.seq}`;
        case "nack":
          return `nack ${effect.seq} ${nackClassName(effect.class)}`;
        case "requestBuckets":
          return `ask ${effect.buckets.map(({ index }) => index).join(" ")}`;
        case "retryLater":
          return `retry in ${effect.delayMs}`;
        case "remember":
          return `remember ${effect.refusals.length}`;
        case "takeUp":
        case "verify":
        case "prepare":
        case "persist":
        case "commit":
        case "discard":
          return `${effect.type} ${effect.frame.seq}`;
        case "greet":
        case "report":
        case "hangUp":
          return effect.type;
      }
    });
  }

  get hangUp(): string | undefined {
    return this.effects.find((effect) => effect.type === "hangUp")?.reason;
  }
}

/** One that is online, serves A, and has B on its way, in a phase. */
function applying(phase: Apply["phase"]): Driver {
  const driver = new Driver(A).online().offer(manifest(1, B), [digest(1)]);
  const steps: readonly (readonly [Apply["phase"], () => unknown])[] = [
    ["receive", () => driver.bucket(1)],
    ["verify", () => driver.verified()],
    ["prepare", () => driver.prepared()],
    ["persist", () => driver.persisted(...(phase === "retry" ? ["full"] : []))],
  ];
  for (const [at, go] of steps) {
    if (driver.replica.apply?.phase === phase) break;
    expect(driver.replica.apply?.phase).toBe(at);
    go();
  }
  expect(driver.replica.apply?.phase).toBe(phase);
  return driver;
}

describe("a new stream", () => {
  test("begins with a Hello that says what is served and what was refused", () => {
    const driver = new Driver(A, [refusalOf(B)]).connect();
    expect(driver.effects).toEqual([
      { type: "greet", have: A, refused: [refusalOf(B)] },
    ]);
    expect(driver.replica.at).toBe("greeting");
    expect(driver.send({ type: "welcomed" }).replica.at).toBe("online");
  });

  test("counts its frames anew", () => {
    const driver = new Driver().online().offer(manifest(7, A));
    driver.verified().prepared().persisted().committed();
    driver.send({ type: "disconnected" }).online();
    expect(driver.offer(manifest(1, B)).does).toEqual(["verify 1"]);
  });

  test("waits for an apply that outlived the one before", () => {
    const driver = applying("persist").send({ type: "disconnected" });
    expect(mayConnect(driver.replica)).toBe(false);
    driver.persisted().committed();
    expect(driver.replica.serving).toEqual(B);
    expect(mayConnect(driver.replica)).toBe(true);
    expect(driver.connect().effects).toMatchObject([{ have: B }]);
  });
});

describe("a state", () => {
  test("is fetched, verified, prepared, stored, served, and only then acknowledged", () => {
    const driver = new Driver(A).online();
    expect(driver.arrive(manifest(1, B)).does).toEqual(["takeUp 1"]);
    driver.send({ type: "takenUp", seq: 1n, lacking: [digest(1)] });
    expect(driver.does).toEqual(["ask 1"]);
    expect(driver.bucket(1).does).toEqual(["verify 1"]);
    expect(driver.verified().does).toEqual(["prepare 1"]);
    expect(driver.prepared().does).toEqual(["persist 1"]);
    expect(driver.persisted().does).toEqual(["commit 1"]);
    expect(driver.replica.serving).toEqual(A);
    expect(driver.committed().effects).toEqual([
      { type: "ack", seq: 1n, cursor: B },
      { type: "confirmed", cursor: B },
    ]);
    expect(driver.replica.serving).toEqual(B);
    expect(driver.replica.apply).toBeUndefined();
  });

  test("that is served is acknowledged at once, unless all of it is to be fetched", () => {
    const driver = new Driver(A).online();
    expect(driver.offer(manifest(1, A)).does).toEqual(["ack 1", "discard 1"]);
    expect(driver.offer(manifest(2, A), [digest(1)]).does).toEqual(["ask 1"]);
  });

  test("of a delta from something else is answered with ROOT_MISMATCH", () => {
    for (const serving of [undefined, A, cursor(2, "other")]) {
      const driver = new Driver(serving).online().offer(delta(1, B, C));
      expect(driver.does).toEqual(["discard 1", "nack 1 ROOT_MISMATCH"]);
      expect(driver.replica).toMatchObject({ serving, refusals: [] });
    }
    // All three parts count.
    for (const [from, to] of [
      [cursor(1, "other"), C],
      [cursor(1, "content 1", "other"), cursor(3, "content 3", "other")],
    ] as const)
      expect(new Driver(A).online().offer(delta(1, from, to)).does).toEqual([
        "discard 1",
        "nack 1 ROOT_MISMATCH",
      ]);
    expect(new Driver(B).online().offer(delta(1, B, C)).does).toEqual([
      "verify 1",
    ]);
  });

  test("that comes while another is fetched or waits for the disk replaces it", () => {
    for (const phase of ["receive", "retry"] as const) {
      const driver = applying(phase).arrive(manifest(2, C));
      expect(driver.does).toEqual(["discard 1", "takeUp 2"]);
      driver.send({ type: "takenUp", seq: 2n, lacking: [] });
      expect(driver.does).toEqual(["verify 2"]);
      // Word about the other is late.
      expect(driver.send({ type: "retryDue", seq: 1n }).does).toEqual([]);
      expect(
        driver.send({ type: "bucketArrived", seq: 1n, index: 1 }).does,
      ).toEqual([]);
    }
  });

  test("that comes later waits, the newest wins, and is taken up when the other has ended, however that ends", () => {
    const ends: readonly [Apply["phase"], (d: Driver) => Driver, string[]][] = [
      [
        "verify",
        (d) => d.verified("bad"),
        ["discard 1", "nack 1 ROOT_MISMATCH"],
      ],
      [
        "prepare",
        (d) => d.refused(),
        ["discard 1", "remember 1", "nack 1 INVALID"],
      ],
      ["persist", (d) => d.persisted("full"), ["discard 1", "nack 1 LOCAL_IO"]],
      ["commit", (d) => d.committed(), ["ack 1"]],
    ];
    for (const [phase, end, does] of ends) {
      const driver = applying(phase);
      expect(driver.arrive(manifest(2, cursor(8))).does).toEqual([]);
      expect(driver.arrive(manifest(3, C)).does).toEqual([]);
      expect(driver.replica.apply?.frame.seq).toBe(1n);
      expect(end(driver).does).toEqual([...does, "takeUp 3"]);
      expect(
        driver.send({ type: "takenUp", seq: 2n, lacking: [] }).does,
      ).toEqual([]);
      expect(
        driver.send({ type: "takenUp", seq: 3n, lacking: [] }).does,
      ).toEqual(["verify 3"]);
    }
  });
});

describe("buckets", () => {
  const MIB = 1 << 20;

  test("are asked for while at most 4 MiB are on their way, again when half of that has come", () => {
    const all = [1, 2, 3, 4, 5, 6].map((index) => digest(index, MIB));
    const driver = new Driver().online().offer(manifest(1, A, all), all);
    expect(driver.does).toEqual(["ask 1 2 3 4"]);
    expect(driver.bucket(2).does).toEqual([]);
    expect(driver.bucket(1).does).toEqual(["ask 5 6"]);
    for (const index of [3, 4, 5])
      expect(driver.bucket(index).does).toEqual([]);
    expect(driver.bucket(6).does).toEqual(["verify 1"]);
  });

  test("larger than that are asked for one by one", () => {
    const all = [1, 2].map((index) => digest(index, 5 * MIB));
    const driver = new Driver().online().offer(manifest(1, A, all), all);
    expect(driver.does).toEqual(["ask 1"]);
    expect(driver.bucket(1).does).toEqual(["ask 2"]);
    expect(driver.bucket(2).does).toEqual(["verify 1"]);
  });

  test("that are damaged are answered with ROOT_MISMATCH", () => {
    const driver = applying("receive").bucket(1, "has another hash");
    expect(driver.does).toEqual(["discard 1", "nack 1 ROOT_MISMATCH"]);
    expect(driver.effects.at(-1)).toMatchObject({
      kept: A,
      violations: [{ reason: "bucket 1 has another hash" }],
    });
  });

  test("that were not asked for, or are of a frame that did not come, end the stream", () => {
    expect(applying("receive").bucket(2).hangUp).toBe(
      "bucket 2 came, which was not asked for",
    );
    expect(
      new Driver().online().send({ type: "bucketArrived", seq: 1n, index: 1 })
        .hangUp,
    ).toBe("a bucket came for 1, which was not sent");
  });
});

describe("a disk that fails", () => {
  test("is said once, tried again after 1 s doubling to 60 s, and what is stored in the end is acknowledged", () => {
    const driver = applying("persist").persisted("disk full");
    expect(driver.does).toEqual(["nack 1 LOCAL_IO", "retry in 1000"]);
    expect(driver.effects[0]).toMatchObject({
      kept: A,
      violations: [{ reason: "disk full" }],
    });
    for (const seconds of [2, 4, 8, 16, 32, 60, 60]) {
      expect(driver.retryDue().does).toEqual(["persist 1"]);
      expect(driver.persisted("disk full").does).toEqual([
        `retry in ${seconds * 1000}`,
      ]);
    }
    expect(driver.replica.refusals).toEqual([]);
    driver.retryDue().persisted();
    expect(driver.committed().does).toEqual(["ack 1"]);
  });

  test("is given up without a stream", () => {
    const driver = applying("persist").send({ type: "disconnected" });
    expect(driver.persisted("disk full").does).toEqual(["discard 1"]);
    expect(mayConnect(driver.replica)).toBe(true);
    const waiting = applying("retry").send({ type: "disconnected" });
    expect(waiting.does).toEqual(["discard 1"]);
    expect(waiting.retryDue().does).toEqual([]);
  });
});

describe("refusals", () => {
  test("change nothing of what is served, are remembered and told", () => {
    const driver = applying("prepare").refused(NackClass.UNSUPPORTED, 100);
    expect(driver.does).toEqual([
      "discard 1",
      "remember 1",
      "nack 1 UNSUPPORTED",
    ]);
    expect(driver.effects.at(-1)).toMatchObject({ cursor: B, kept: A });
    const [refusal] = driver.replica.refusals;
    expect(refusal).toMatchObject({ class: NackClass.UNSUPPORTED, cursor: B });
    // All are told; what is remembered must fit in a Hello, sixteen times.
    const nack = driver.effects.find(({ type }) => type === "nack");
    expect(nack).toHaveProperty("violations.length", LIMITS.violations);
    expect(refusal?.violations).toHaveLength(LIMITS.rememberedViolations);
    expect(driver.replica.serving).toEqual(A);
    driver.send({ type: "disconnected" }).connect();
    expect(driver.effects).toMatchObject([{ refused: [refusal] }]);
  });

  test("are the newest 16, one for each root", () => {
    const driver = new Driver(A).online();
    const refuse = (seq: number, state: Cursor): Driver =>
      driver.offer(manifest(seq, state)).verified().refused();
    for (let seq = 1; seq <= 20; seq++) refuse(seq, cursor(seq + 100));
    const roots = driver.replica.refusals.map((known) => known.cursor?.root);
    expect(roots).toEqual(
      Array.from({ length: 16 }, (_, i) => cursor(i + 105).root),
    );
    // Another revision with the same content takes the place of the first.
    refuse(21, cursor(200, "content 110"));
    expect(driver.replica.refusals).toHaveLength(16);
    expect(driver.replica.refusals.at(-1)?.cursor?.revision).toBe(200n);
    expect(
      new Driver(A, driver.replica.refusals.concat(refusalOf(C))).replica
        .refusals,
    ).toHaveLength(16);
  });

  test("of a root that is offered again are forgotten first, on disk too", () => {
    const driver = new Driver(A, [refusalOf(B), refusalOf(C)]).online();
    expect(driver.arrive(manifest(1, B)).does).toEqual([
      "remember 1",
      "takeUp 1",
    ]);
    expect(driver.replica.refusals).toEqual([refusalOf(C)]);
    driver.send({ type: "takenUp", seq: 1n, lacking: [] }).verified();
    expect(driver.refused().replica.refusals).toHaveLength(2);
  });
});

describe("rule 6: never backwards by accident", () => {
  const foreign = cursor(1, "foreign", "another epoch");

  test("an older revision of the served epoch is STALE, and so is the served one with another root", () => {
    for (const to of [A, cursor(2, "other")]) {
      const driver = new Driver(B).online().offer(manifest(1, to));
      expect(driver.does).toEqual(["discard 1", "nack 1 STALE"]);
      // It says nothing of the state: a node that serves less may take it.
      expect(driver.replica).toMatchObject({ serving: B, refusals: [] });
    }
    expect(
      new Driver(B).online().offer(delta(1, B, cursor(2, "other"))).does,
    ).toEqual(["discard 1", "nack 1 STALE"]);
  });

  test("an older revision of another epoch is not", () => {
    expect(new Driver(B).online().offer(manifest(1, foreign)).does).toEqual([
      "verify 1",
    ]);
  });

  test("a foreign epoch that would remove more than half of what is served is held back and remembered", () => {
    const driver = new Driver(B).online().offer(manifest(1, foreign));
    expect(driver.loses(51, 100).does).toEqual([
      "discard 1",
      "remember 1",
      "nack 1 HELD",
    ]);
    expect(driver.replica.serving).toEqual(B);
    expect(driver.effects.at(-1)).toMatchObject({
      violations: [{ reason: expect.stringContaining("51 of 100") as string }],
    });
  });

  test("one that removes half or less is followed", () => {
    const driver = new Driver(B).online().offer(manifest(1, foreign));
    expect(driver.loses(50, 100).does).toEqual(["prepare 1"]);
  });

  test("one that has replaced the served epoch, or that somebody has allowed, is followed whatever it removes", () => {
    for (const how of [
      { predecessors: ["older", "epoch"] },
      { allowed: true },
    ]) {
      const driver = new Driver(B)
        .online()
        .offer({ ...manifest(1, foreign), ...how });
      expect(driver.loses(100, 100).does).toEqual(["prepare 1"]);
    }
    const driver = new Driver(B)
      .online()
      .offer({ ...manifest(1, foreign), predecessors: ["older"] });
    expect(driver.loses(100, 100).does).toContain("nack 1 HELD");
  });

  test("what was held back is forgotten once a state of another epoch is served", () => {
    const driver = new Driver(B, [
      refusalOf(foreign, NackClass.HELD),
      refusalOf(C),
    ])
      .online()
      .offer({ ...manifest(1, cursor(7, "x", "third")), allowed: true });
    driver.loses(100, 100).prepared().persisted().committed();
    expect(driver.does).toEqual(["ack 1", "remember 1"]);
    expect(driver.replica.refusals).toMatchObject([{ cursor: C }]);
  });

  test("a delta never leads to another epoch", () => {
    const driver = new Driver(A).online().arrive(delta(1, A, foreign));
    expect(driver.hangUp).toContain("from epoch");
  });
});

describe("what is served is confirmed to be the newest", () => {
  const confirmed = (driver: Driver): boolean =>
    driver.effects.some((effect) => effect.type === "confirmed");

  test("by a Welcome or a Heartbeat that names it, not by one that names something else or nothing", () => {
    const driver = new Driver(A).connect();
    expect(confirmed(driver.send({ type: "welcomed", head: A }))).toBe(true);
    expect(confirmed(driver.send({ type: "heard", head: A }))).toBe(true);
    expect(confirmed(driver.send({ type: "heard", head: B }))).toBe(false);
    expect(confirmed(driver.send({ type: "heard" }))).toBe(false);
    expect(confirmed(new Driver().online())).toBe(false);
  });

  test("by a manifest of it, and when a state is served after which nothing has come", () => {
    expect(confirmed(new Driver(A).online().offer(manifest(1, A)))).toBe(true);
    expect(confirmed(applying("commit").committed())).toBe(true);
    expect(
      confirmed(applying("commit").arrive(manifest(2, C)).committed()),
    ).toBe(false);
  });
});

describe("a control plane that breaks the protocol is left", () => {
  test.each<[string, (driver: Driver) => Driver, string]>([
    [
      "Welcome twice",
      (d) => d.send({ type: "welcomed" }),
      "Welcome came out of turn",
    ],
    [
      "a seq that does not ascend",
      (d) => d.offer(manifest(5, A)).arrive(manifest(5, B)),
      "a manifest came with seq 5 after 5",
    ],
    [
      "seq 0",
      (d) => d.arrive(delta(0, A, B)),
      "a delta came with seq 0 after 0",
    ],
    [
      "too many bytes",
      (d) =>
        d.arrive({
          ...manifest(1, A, []),
          totals: { buckets: 1, entries: 1n, bytes: 2n ** 31n + 1n },
        }),
      "the manifest announces 2147483649 bytes, more than 2147483648",
    ],
    [
      "buckets out of order",
      (d) => d.arrive(manifest(1, A, [digest(2), digest(1)])),
      "the manifest has bucket 1 after 2",
    ],
    [
      "a bucket that cannot be",
      (d) => d.arrive(manifest(1, A, [digest(1024)])),
      "the manifest has bucket 1024 after -1",
    ],
    [
      "totals that are not those of the buckets",
      (d) =>
        d.arrive({
          ...manifest(1, A, [digest(1)]),
          totals: { buckets: 2, entries: 1n, bytes: 10n },
        }),
      "the manifest has 1 buckets of 10 bytes and announces 2 of 10",
    ],
  ])("%s", (_name, act, reason) => {
    const driver = act(new Driver().online());
    expect(driver.hangUp).toBe(reason);
    expect(driver.effects).toHaveLength(1);
  });

  test("a state before Welcome", () => {
    expect(new Driver().connect().arrive(manifest(1, A)).hangUp).toBe(
      "a manifest came before Welcome",
    );
  });
});

describe("time", () => {
  test("a control plane that is silent for more than 30 s is left; anything it says counts", () => {
    const driver = new Driver().online();
    driver.after(LIMITS.deadMs).send({ type: "ticked" });
    expect(driver.hangUp).toBeUndefined();
    driver.send({ type: "heard" }).after(LIMITS.deadMs);
    expect(driver.send({ type: "ticked" }).hangUp).toBeUndefined();
    expect(driver.after(1).send({ type: "ticked" }).hangUp).toMatch(
      "nothing was heard of the control plane for 30 s",
    );
  });

  test("a report goes every 10 s", () => {
    const driver = new Driver().online();
    const sent: number[] = [];
    for (let second = 1; second <= 40; second++) {
      driver.after(1_000).send({ type: "heard" }).send({ type: "ticked" });
      if (driver.does.includes("report")) sent.push(second);
    }
    expect(sent).toEqual([10, 20, 30, 40]);
  });
});

describe("every state says what it does with every event", () => {
  type Type = ReplicaEvent["type"];
  type State =
    | "offline"
    | "offline persist"
    | "offline commit"
    | "greeting"
    | "online"
    | "takingUp"
    | Apply["phase"];
  /** What is done, or where it leads: "-" is nothing at all. */
  type Cell = string;

  const enter: Record<State, () => Driver> = {
    offline: () => new Driver(A),
    "offline persist": () => applying("persist").send({ type: "disconnected" }),
    "offline commit": () => applying("commit").send({ type: "disconnected" }),
    greeting: () => new Driver(A).connect(),
    online: () => new Driver(A).online(),
    takingUp: () => new Driver(A).online().arrive(manifest(1, B)),
    receive: () => applying("receive"),
    verify: () => applying("verify"),
    prepare: () => applying("prepare"),
    persist: () => applying("persist"),
    retry: () => applying("retry"),
    commit: () => applying("commit"),
  };
  const events: Record<Type, News> = {
    connected: { type: "connected" },
    welcomed: { type: "welcomed" },
    arrived: { type: "arrived", frame: manifest(2, C) },
    takenUp: { type: "takenUp", seq: 1n, lacking: [] },
    bucketArrived: { type: "bucketArrived", seq: 1n, index: 1 },
    verified: { type: "verified", seq: 1n },
    prepared: { type: "prepared", seq: 1n },
    refused: {
      type: "refused",
      seq: 1n,
      class: NackClass.INVALID,
      violations: [],
    },
    persisted: { type: "persisted", seq: 1n },
    retryDue: { type: "retryDue", seq: 1n },
    committed: { type: "committed", seq: 1n },
    heard: { type: "heard" },
    ticked: { type: "ticked" },
    disconnected: { type: "disconnected" },
  };
  const late = {
    verified: "-",
    prepared: "-",
    refused: "-",
    persisted: "-",
    retryDue: "-",
    committed: "-",
    heard: "-",
    ticked: "-",
  } as const;
  const streaming = {
    ...late,
    connected: "hangUp",
    welcomed: "hangUp",
    takenUp: "-",
    bucketArrived: "-",
    disconnected: "discard 1",
  } as const;
  const table: Record<State, Record<Type, Cell>> = {
    offline: {
      ...late,
      connected: "greet",
      welcomed: "hangUp",
      arrived: "hangUp",
      takenUp: "-",
      bucketArrived: "hangUp",
      disconnected: "-",
    },
    "offline persist": {
      ...late,
      connected: "hangUp",
      welcomed: "hangUp",
      arrived: "hangUp",
      takenUp: "-",
      bucketArrived: "-",
      persisted: "commit 1",
      disconnected: "-",
    },
    "offline commit": {
      ...late,
      connected: "hangUp",
      welcomed: "hangUp",
      arrived: "hangUp",
      takenUp: "-",
      bucketArrived: "-",
      // Served, and nobody there to tell.
      committed: "-",
      disconnected: "-",
    },
    greeting: {
      ...late,
      connected: "hangUp",
      welcomed: "-",
      arrived: "hangUp",
      takenUp: "-",
      bucketArrived: "hangUp",
      disconnected: "-",
    },
    online: {
      ...streaming,
      arrived: "takeUp 2",
      bucketArrived: "hangUp",
      disconnected: "-",
    },
    takingUp: {
      ...streaming,
      arrived: "takeUp 2",
      takenUp: "verify 1",
      disconnected: "-",
    },
    receive: {
      ...streaming,
      arrived: "discard 1, takeUp 2",
      bucketArrived: "verify 1",
    },
    verify: { ...streaming, arrived: "-", verified: "prepare 1" },
    prepare: {
      ...streaming,
      arrived: "-",
      prepared: "persist 1",
      refused: "discard 1, remember 1, nack 1 INVALID",
    },
    persist: {
      ...streaming,
      arrived: "-",
      persisted: "commit 1",
      disconnected: "-",
    },
    retry: {
      ...streaming,
      arrived: "discard 1, takeUp 2",
      retryDue: "persist 1",
    },
    commit: {
      ...streaming,
      arrived: "-",
      committed: "ack 1",
      disconnected: "-",
    },
  };

  const states = Object.keys(table) as State[];
  const types = Object.keys(events) as Type[];
  test.each(
    states.flatMap((state) => types.map((type) => [state, type] as const)),
  )("%s, %s", (state, type) => {
    const driver = enter[state]();
    const { serving } = driver.replica;
    driver.send(events[type]);
    expect(driver.does.join(", ") || "-").toBe(table[state][type]);
    // What is served changes by a commit and by nothing else.
    expect(driver.replica.serving).toEqual(
      type === "committed" && state.endsWith("commit") ? B : serving,
    );
    if (type === "disconnected") expect(driver.replica.at).toBe("offline");
  });
});
