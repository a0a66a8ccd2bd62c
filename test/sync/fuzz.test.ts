import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { flawOf as flawOfRequest } from "../../src/cp/distributor/incoming.ts";
import { frameOf, Frames } from "../../src/cp/distributor/frames.ts";
import { readStateFile } from "../../src/dp/replica/last-good.ts";
import { changesOf } from "../../src/dp/sync/delta-content.ts";
import { flawOf as flawOfResponse } from "../../src/dp/sync/incoming.ts";
import { Staging, unpack, WireError } from "../../src/dp/sync/staging.ts";
import {
  BucketChunkSchema,
  BucketDigestSchema,
  Codec,
  ConnectRequestSchema,
  ConnectResponseSchema,
  DeltaContentSchema,
  DeltaSchema,
  GoodbyeReason,
  NackClass,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { Bucket } from "../../src/model/bucket.ts";
import { writeSnapshotFile } from "../../src/model/snapshot-file.ts";
import { LIMITS } from "../../src/sync/limits.ts";
import { stepReplica } from "../../src/sync/replica.ts";
import {
  openReplica,
  type Frame,
  type ReplicaEvent,
} from "../../src/sync/replica/state.ts";
import { stepSession } from "../../src/sync/session.ts";
import {
  openSession,
  type SessionEvent,
} from "../../src/sync/session/state.ts";
import { cursor } from "../support/cursors.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { filled } from "../support/states.ts";
import { TempDir } from "../support/temp-dir.ts";

const random = SeededRandom.fromEnvironment();

describe(`bytes that anybody may send (HOLDFAST_TEST_SEED=${random.seed})`, () => {
  test("a request is read, refused or found at fault, and nothing else", () => {
    const good = requests().map((each) => toBinary(ConnectRequestSchema, each));
    forEachMutation(good, 6_000, (bytes) => {
      const request = read(ConnectRequestSchema, bytes);
      if (request !== undefined) expectText(flawOfRequest(request));
    });
  });

  test("a response is read, refused or found at fault, and nothing else", async () => {
    const good = await responses();
    forEachMutation(good, 6_000, (bytes) => {
      const response = read(ConnectResponseSchema, bytes);
      if (response !== undefined) expectText(flawOfResponse(response));
    });
  });

  test("the content of a delta is read, or refused as something that came over the wire", () => {
    const content = toBinary(
      DeltaContentSchema,
      create(DeltaContentSchema, {
        puts: [...filled(1, 20).snapshot.entries()].map(({ key, value }) => ({
          key,
          value,
        })),
        deletes: ["route/1", "route/2"],
      }),
    );
    forEachMutation([content, gzipSync(content)], 4_000, (data, at) => {
      const delta = create(DeltaSchema, {
        data,
        codec: random.pick([Codec.IDENTITY, Codec.GZIP, 0, 99]) as Codec,
        size: at % 3 === 0 ? random.below(2 ** 32) : data.length,
      });
      const changes = expectWireError(() => changesOf(delta));
      if (changes === undefined) return;
      expect(changes.puts.length + changes.deletes.length).toBeLessThanOrEqual(
        data.length,
      );
    });
  });

  test("the bytes of a bucket are a bucket, or it is said why not", () => {
    const buckets = [...filled(1, 4_000, 60).snapshot.buckets()];
    for (let left = 4_000; left > 0; left--) {
      const [index, { bytes }] = random.pick(buckets);
      const mutated = Buffer.from(mutate(bytes));
      const result = Bucket.parse(index, mutated);
      if (typeof result === "string") expect(result).not.toBe("");
      // Whatever is taken for a bucket is exactly what came.
      else expect(result.bytes.equals(mutated)).toBe(true);
    }
  });

  test("chunks in any order, of any size, make the announced buckets or nothing, and take no more memory than those", () => {
    const { snapshot } = filled(1, 300, 3_000);
    const digests = [...snapshot.buckets()].map(([index, { hash, bytes }]) =>
      create(BucketDigestSchema, { index, hash, size: bytes.length }),
    );
    const before = process.memoryUsage().arrayBuffers;
    for (let run = 0; run < 60; run++) {
      const staging = new Staging();
      staging.begin(digests, undefined, false);
      for (let left = 200; left > 0; left--) {
        const { index, hash } = random.pick(digests);
        const bytes = snapshot.bucket(index)?.bytes ?? Buffer.alloc(0);
        const offset = random.below(3) === 0 ? random.below(bytes.length) : 0;
        const plain = bytes.subarray(
          offset,
          random.below(4) === 0 ? random.below(bytes.length + 1) : undefined,
        );
        const data = random.below(3) === 0 ? mutate(plain) : plain;
        const chunk = create(BucketChunkSchema, {
          index: random.below(20) === 0 ? random.below(2_000) : index,
          offset: random.below(10) === 0 ? random.below(2 ** 32) : offset,
          last: random.below(5) > 0,
          codec: (random.below(10) === 0 ? 77 : Codec.IDENTITY) as Codec,
          data,
          size: random.below(10) === 0 ? random.below(2 ** 32) : data.length,
        });
        const result = expectWireError(() => staging.receive(chunk));
        if (result?.type !== "whole") continue;
        const digest = digests.find((each) => each.index === chunk.index);
        const staged = digest && staging.bucket(digest, undefined);
        expect(staged?.hash.equals(digest?.hash ?? hash)).toBe(true);
      }
    }
    const grownBytes = process.memoryUsage().arrayBuffers - before;
    expect(grownBytes).toBeLessThan(64 * 1024 * 1024);
  });

  test("a small message that inflates to a large one is refused before it is large", () => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(LIMITS.nodeMessageBytes);
    const before = process.memoryUsage().arrayBuffers;
    for (const size of [0, 1, 1_000, LIMITS.chunkBytes, LIMITS.deltaBytes])
      expect(() => unpack(Codec.GZIP, bomb, size)).toThrow(WireError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(
      32 * 1024 * 1024,
    );
  });

  test("a snapshot file is what was written, or refused", async () => {
    await using dir = await TempDir.make();
    const state = filled(7, 40);
    const good = Buffer.concat([
      ...writeSnapshotFile(state.cursor, state.snapshot, 0),
    ]);
    const file = dir.join("any.hfs");
    for (let left = 400; left > 0; left--) {
      await writeFile(file, left === 1 ? good : mutate(good));
      const result = await readStateFile(file).catch((error: unknown) =>
        String(error),
      );
      if (typeof result === "string") expect(result).toMatch(/DamagedFile/);
      else {
        expect(result?.cursor).toEqual(state.cursor);
        expect(result?.snapshot.root).toBe(state.snapshot.root);
      }
    }
  });
});

describe(`events in any order (HOLDFAST_TEST_SEED=${random.seed})`, () => {
  const cursors = [
    ...[1, 2, 3, 4].map((revision) => cursor(revision)),
    cursor(2, "other"),
    cursor(1, "content 1", "adopted"),
    cursor(9, "content 2", "foreign"),
  ];
  const digests = [0, 1, 2, 700].map((index) =>
    create(BucketDigestSchema, {
      index,
      hash: new Uint8Array(32),
      size: 1 + random.below(LIMITS.bucketWindowBytes),
    }),
  );
  const anySeq = (): bigint => BigInt(random.below(12));
  const maybe = <T>(make: () => T): T | undefined =>
    random.below(2) === 0 ? make() : undefined;
  const anyClass = (): NackClass => random.below(9) as NackClass;

  test("do not make the control plane's machine fail, or remember without bound", () => {
    for (let run = 0; run < 800; run++) {
      let session = openSession(random.pick(cursors), [], 0);
      let nowMs = 0;
      let lastSeq = 0n;
      for (let left = 150; left > 0; left--) {
        nowMs += random.below(4) === 0 ? random.below(40_000) : 0;
        const event = anySessionEvent(nowMs);
        const step = stepSession(session, event);
        for (const effect of step.effects)
          if (effect.type === "offer") {
            must(effect.seq > lastSeq, "a seq that does not ascend");
            lastSeq = effect.seq;
          }
        must(
          session.at !== "ended" || step.effects.length === 0,
          "an ended session does something",
        );
        ({ session } = step);
        // What one Hello may bring, and what is kept of answers.
        must(
          session.refusedRoots.size <= 3 * LIMITS.refusals,
          "too many refusals",
        );
        must(session.lastSeq === lastSeq, "a seq that was not offered");
      }
    }
  });

  test("do not make the node's machine fail, or remember without bound", () => {
    for (let run = 0; run < 800; run++) {
      let replica = openReplica(
        maybe(() => random.pick(cursors)),
        [],
        0,
      );
      let nowMs = 0;
      for (let left = 150; left > 0; left--) {
        nowMs += random.below(4) === 0 ? random.below(40_000) : 0;
        const event = anyReplicaEvent(nowMs);
        const step = stepReplica(replica, event);
        // Only what was committed is served from then on.
        if (step.replica.serving !== replica.serving) {
          must(
            event.type === "committed",
            `${event.type} changed what is served`,
          );
          must(
            step.replica.serving === replica.apply?.frame.to,
            "something else is served than what was applied",
          );
        }
        ({ replica } = step);
        const { apply, refusals } = replica;
        must(refusals.length <= LIMITS.refusals, "too many refusals");
        must(
          (apply?.wanted.length ?? 0) + (apply?.outstanding.length ?? 0) <=
            digests.length,
          "more buckets are wanted than there are",
        );
      }
    }
  });

  function anySessionEvent(nowMs: number): SessionEvent {
    const type = random.pick([
      "greeted",
      "snapshotRequested",
      "published",
      "bucketsRequested",
      "bucketsWritten",
      "acked",
      "nacked",
      "reported",
      "drained",
      "ticked",
      "retried",
      "allowed",
      "placed",
      "unpinned",
      ...(random.below(20) === 0
        ? (["dismissed", "broke", "disconnected"] as const)
        : []),
    ] as const);
    switch (type) {
      case "greeted":
        return {
          type,
          nowMs,
          hello: {
            $typeName: "holdfast.sync.v1.Hello",
            workspace: "",
            features: [],
            refused: Array.from({ length: random.below(16) }, () => ({
              $typeName: "holdfast.sync.v1.Refusal" as const,
              class: anyClass(),
              violations: [],
              cursor: random.pick(cursors),
            })),
            ...optional(
              "have",
              maybe(() => random.pick(cursors)),
            ),
          },
          refusedRoots: Array.from(
            { length: random.below(LIMITS.refusals) },
            () => random.pick(cursors).root,
          ),
          forked: random.below(2) === 0,
          allowed: random.below(2) === 0,
        };
      case "published":
        return {
          type,
          nowMs,
          head: random.pick(cursors),
          needs: random.pick([[], [{ name: "kind/x", version: 1, keys: [] }]]),
        };
      case "bucketsRequested":
        return {
          type,
          nowMs,
          seq: anySeq(),
          buckets: digests.slice(random.below(5)),
          bytes: random.below(2 * LIMITS.bucketWindowBytes),
          unknown: random.below(3) === 0 ? 1 : 0,
        };
      case "bucketsWritten":
        return { type, nowMs, bytes: random.below(2 ** 31) };
      case "acked":
        return {
          type,
          nowMs,
          ack: {
            $typeName: "holdfast.sync.v1.Ack",
            seq: anySeq(),
            ...optional(
              "cursor",
              maybe(() => random.pick(cursors)),
            ),
          },
        };
      case "nacked":
        return {
          type,
          nowMs,
          nack: {
            $typeName: "holdfast.sync.v1.Nack",
            seq: anySeq(),
            class: anyClass(),
            violations: [],
            ...optional(
              "cursor",
              maybe(() => random.pick(cursors)),
            ),
            ...optional(
              "kept",
              maybe(() => random.pick(cursors)),
            ),
          },
        };
      case "reported":
        return {
          type,
          nowMs,
          report: {
            $typeName: "holdfast.sync.v1.Report",
            counters: [],
            targets: [],
          },
        };
      case "placed":
        return { type, nowMs, forked: random.below(2) === 0 };
      case "unpinned":
        return { type, nowMs, seq: anySeq() };
      case "dismissed":
        return { type, nowMs, reason: GoodbyeReason.DRAIN, message: "" };
      case "broke":
        return { type, nowMs, message: "" };
      default:
        return { type, nowMs };
    }
  }

  function anyFrame(): Frame {
    const seq = anySeq();
    const to = random.pick(cursors);
    if (random.below(2) === 0)
      return { type: "delta", seq, from: random.pick(cursors), to };
    const buckets = digests.slice(random.below(5));
    const bytes = buckets.reduce((sum, { size }) => sum + size, 0);
    return {
      type: "manifest",
      seq,
      to,
      buckets: random.below(10) === 0 ? buckets.toReversed() : buckets,
      totals: {
        buckets: buckets.length,
        entries: 1n,
        bytes: random.below(10) === 0 ? 2n ** 63n : BigInt(bytes),
      },
      predecessors: random.pick([[], ["epoch"], ["foreign"]]),
      allowed: random.below(2) === 0,
    };
  }

  function anyReplicaEvent(nowMs: number): ReplicaEvent {
    const type = random.pick([
      "connected",
      "welcomed",
      "arrived",
      "takenUp",
      "bucketArrived",
      "verified",
      "prepared",
      "refused",
      "persisted",
      "retryDue",
      "committed",
      "heard",
      "ticked",
      ...(random.below(10) === 0 ? (["disconnected"] as const) : []),
    ] as const);
    const seq = anySeq();
    switch (type) {
      case "arrived":
        return { type, nowMs, frame: anyFrame() };
      case "takenUp":
        return { type, nowMs, seq, lacking: digests.slice(random.below(5)) };
      case "bucketArrived":
        return {
          type,
          nowMs,
          seq,
          index: random.below(3),
          ...optional(
            "damage",
            maybe(() => "damaged"),
          ),
        };
      case "verified":
        return {
          type,
          nowMs,
          seq,
          ...optional(
            "damage",
            maybe(() => "damaged"),
          ),
          ...optional(
            "loses",
            maybe(() => ({ removed: 3, held: 4 })),
          ),
        };
      case "refused":
        return { type, nowMs, seq, class: anyClass(), violations: [] };
      case "persisted":
        return {
          type,
          nowMs,
          seq,
          ...optional(
            "failure",
            maybe(() => "disk full"),
          ),
        };
      case "prepared":
      case "retryDue":
      case "committed":
        return { type, nowMs, seq };
      case "welcomed":
      case "heard":
        return {
          type,
          nowMs,
          ...optional(
            "head",
            maybe(() => random.pick(cursors)),
          ),
        };
      default:
        return { type, nowMs };
    }
  }
});

function optional<K extends string, T>(
  name: K,
  value: T | undefined,
): Partial<Record<K, T>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, T>);
}

function requests(): readonly MessageShape<typeof ConnectRequestSchema>[] {
  const at = cursor(3);
  const violations = [{ key: "route/1", field: "paths[0]", reason: "no" }];
  const messages: readonly NonNullable<
    MessageInitShape<typeof ConnectRequestSchema>["message"]
  >[] = [
    {
      case: "hello" as const,
      value: {
        node: { id: "n", boot: "b", labels: { zone: "a" } },
        features: [{ name: "kind/route", version: 1 }],
        have: at,
        refused: [{ class: NackClass.INVALID, cursor: at, violations }],
      },
    },
    { case: "snapshotRequest" as const, value: {} },
    {
      case: "bucketRequest" as const,
      value: { seq: 1n, buckets: [{ index: 5, hash: new Uint8Array(32) }] },
    },
    { case: "ack" as const, value: { seq: 1n, cursor: at } },
    {
      case: "nack" as const,
      value: { seq: 1n, cursor: at, class: NackClass.STALE, violations },
    },
    {
      case: "report" as const,
      value: { serving: at, counters: [{ revision: 1n, requests: 2n }] },
    },
  ];
  return messages.map((message) => create(ConnectRequestSchema, { message }));
}

async function responses(): Promise<readonly Uint8Array[]> {
  const [from, to] = [filled(1, 30), filled(2, 30)];
  const frames = new Frames();
  const delta = await frames.delta(from, to);
  if (delta === undefined) throw new Error("no delta");
  return [
    toBinary(
      ConnectResponseSchema,
      create(ConnectResponseSchema, {
        message: { case: "welcome", value: { head: to.cursor, cp: "x" } },
      }),
    ),
    frameOf(delta, 5n),
    toBinary(
      ConnectResponseSchema,
      create(ConnectResponseSchema, {
        message: {
          case: "manifest",
          value: {
            seq: 4n,
            cursor: to.cursor,
            buckets: [...to.snapshot.buckets()].map(([index, bucket]) => ({
              index,
              hash: bucket.hash,
              size: bucket.bytes.length,
            })),
            totals: { buckets: 3, entries: 4n, bytes: 5n },
            predecessors: ["a", "b"],
          },
        },
      }),
    ),
    toBinary(
      ConnectResponseSchema,
      create(ConnectResponseSchema, {
        message: {
          case: "goodbye",
          value: { reason: GoodbyeReason.DRAIN, message: "bye" },
        },
      }),
    ),
  ];
}

/** Some bytes changed, cut out, put in, or all of them made up. */
function mutate(bytes: Uint8Array): Uint8Array {
  const any = (length: number): Uint8Array =>
    Uint8Array.from({ length }, () => random.below(256));
  if (random.below(20) === 0) return any(random.below(300));
  let result = Uint8Array.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(result.length + 1);
    switch (random.below(4)) {
      case 0:
        result = Uint8Array.from(result.subarray(0, at));
        break;
      case 1:
        result[at] = random.below(256);
        break;
      case 2:
        result = Uint8Array.from([
          ...result.subarray(0, at),
          ...any(random.below(9)),
          ...result.subarray(at),
        ]);
        break;
      default:
        result[at] = (result[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return result;
}

function forEachMutation(
  good: readonly Uint8Array[],
  times: number,
  check: (bytes: Uint8Array, at: number) => void,
): void {
  for (let at = 0; at < times; at++) check(mutate(random.pick(good)), at);
}

/** What bytes say, if they say anything. The decoder refuses by throwing an Error, and in no other way. */
function read<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
): MessageShape<D> | undefined {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    return undefined;
  }
}

function expectText(flaw: string | undefined): void {
  must(flaw !== "", "a flaw without words");
}

/** Cheaper than expect, for what is asked a million times. */
function must(condition: boolean, otherwise: string): void {
  if (!condition) expect.fail(otherwise);
}

/** What `run` returns; undefined when it refuses what came, as a WireError. */
function expectWireError<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
