import { randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import {
  GoodbyeReason,
  NackClass,
  type BucketDigest,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../../src/sync/limits.ts";
import { cursor } from "../../support/cursors.ts";
import { DeafNode, frameOf } from "../../support/deaf-node.ts";
import { eventually } from "../../support/eventually.ts";
import {
  service,
  TestControlPlane,
  TestNode,
} from "../../support/link-harness.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { PuppetNode } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

function inSync(cp: TestControlPlane): Promise<true> {
  return eventually(
    () => cp.nodes.get("default", "node")?.inSync === true || undefined,
    "the good node in sync",
  );
}

/** A control plane with a node that behaves, which must not notice anything. */
async function withGoodNode(
  run: (cp: TestControlPlane) => Promise<void>,
): Promise<void> {
  await using dir = await TempDir.make();
  await using cp = await TestControlPlane.start(dir);
  await cp.put(service("a"), service("b"));
  await using node = await TestNode.start(dir, cp.address);
  await inSync(cp);
  await run(cp);
  const revision = await cp.put(service("c"));
  await eventually(
    () => node.client.serving?.revision === revision || undefined,
    "the next revision on the good node",
  );
  await inSync(cp);
  // On the same stream as ever.
  expect((await node.messages())["out hello"]).toBe(1);
}

const hello = (id: string) => ({
  case: "hello" as const,
  value: { node: { id, boot: "b", build: "b", hostname: "h" } },
});
const snapshotRequest = { case: "snapshotRequest" as const, value: {} };

describe("rule 7, bounds first: what a node may not do ends its stream, and nothing else", () => {
  type Act = (node: PuppetNode) => Promise<unknown>;
  /** Greets, and waits for the manifest. */
  const greeted = async (node: PuppetNode) => {
    node.greet("bad");
    return node.heard("manifest");
  };
  const protocol: Readonly<Record<string, Act>> = {
    "an empty message": async (n) => n.send(new Uint8Array()),
    "an Ack before Hello": async (n) =>
      n.send({ case: "ack", value: { seq: 1n, cursor: cursor(1) } }),
    "a Hello without node": async (n) => n.send({ case: "hello", value: {} }),
    "a Hello with an id that cannot be": async (n) => n.send(hello("a/../b")),
    "a second Hello": async (n) => n.send(hello("bad")).send(hello("bad")),
    "a second SnapshotRequest": async (n) => {
      await greeted(n);
      n.send(snapshotRequest);
    },
    "an Ack of a frame that was not sent": async (n) => {
      const { cursor: offered } = await greeted(n);
      n.send({ case: "ack", value: { seq: 9n, cursor: offered } });
    },
    "an Ack of another state than was sent": async (n) => {
      await greeted(n);
      n.send({ case: "ack", value: { seq: 1n, cursor: cursor(77) } });
    },
    "an Ack without cursor": async (n) => {
      await greeted(n);
      n.send({ case: "ack", value: { seq: 1n } });
    },
    "a Nack without a class": async (n) => {
      const { cursor: offered } = await greeted(n);
      n.send({
        case: "nack",
        value: { seq: 1n, cursor: offered, class: NackClass.UNSPECIFIED },
      });
    },
    "a request for buckets that were not offered": async (n) => {
      await greeted(n);
      n.send({
        case: "bucketRequest",
        value: { seq: 1n, buckets: [{ index: 3, hash: randomBytes(32) }] },
      });
    },
    "a request with more buckets than there are": async (n) => {
      await greeted(n);
      n.send({
        case: "bucketRequest",
        value: {
          seq: 1n,
          buckets: Array.from({ length: 1025 }, (_, i) => ({
            index: i % 1024,
            hash: Buffer.alloc(32),
          })),
        },
      });
    },
    "a third ROOT_MISMATCH": async (n) => {
      await greeted(n);
      for (let seq = 1n; seq <= 3n; seq++) {
        const offered = await eventually(
          () =>
            n.received.find(
              ({ message }) =>
                message.case === "manifest" && message.value.seq === seq,
            )?.message,
          `manifest ${seq}`,
        );
        n.send({
          case: "nack",
          value: {
            seq,
            cursor:
              offered.case === "manifest" ? offered.value.cursor : undefined,
            class: NackClass.ROOT_MISMATCH,
          },
        });
      }
    },
  };
  test.each(Object.entries(protocol))("%s", async (_name, act) => {
    await withGoodNode(async (cp) => {
      using bad = new PuppetNode(cp.address);
      await act(bad);
      const goodbye = await bad.heard("goodbye");
      expect(goodbye.reason).toBe(GoodbyeReason.PROTOCOL);
      expect(goodbye.message).not.toBe("");
      await eventually(() => bad.ended, "the end of the stream");
    });
  });

  test.each([
    ["bytes that are no message", Buffer.from("this is not protobuf at all")],
    [
      "a message larger than any may be",
      Buffer.alloc(LIMITS.messageBytes + 1, 0x0a),
    ],
  ])("%s", async (_name, bytes) => {
    await withGoodNode(async (cp) => {
      using bad = new PuppetNode(cp.address);
      bad.greet("bad");
      await bad.heard("manifest");
      bad.send(bytes);
      await eventually(() => bad.ended, "the end of the stream");
    });
  });
});

test("a node of a workspace that is not there is told so, and to stay away", async () => {
  await withGoodNode(async (cp) => {
    using bad = new PuppetNode(cp.address);
    bad.send({
      case: "hello",
      value: { ...hello("bad").value, workspace: "nowhere" },
    });
    const goodbye = await bad.heard("goodbye");
    expect(goodbye).toMatchObject({
      reason: GoodbyeReason.NOT_FOUND,
      message: expect.stringContaining(
        'there is no workspace "nowhere"',
      ) as string,
      retryAfter: { seconds: 300n },
    });
  });
});

describe("rule 4, 64 MiB undrained in all: a node that takes more than its share", () => {
  /** About 3 MiB that do not compress, in buckets of their own. */
  async function fill(cp: TestControlPlane): Promise<void> {
    const resources = Array.from({ length: 300 }, (_, i) => {
      const resource = service(`large-${i}`);
      if (resource.kind.case === "service")
        resource.kind.value.tags = Array.from({ length: 50 }, () =>
          randomBytes(75).toString("hex"),
        );
      return resource;
    });
    for (let at = 0; at < resources.length; at += 100)
      await cp.put(...resources.slice(at, at + 100));
  }

  async function messages(
    cp: TestControlPlane,
    direction: "in" | "out",
    type: string,
  ): Promise<number> {
    const metric = cp.metrics.getSingleMetric(
      "holdfast_cp_sync_messages_total",
    );
    const values = (await metric?.get())?.values ?? [];
    return (
      values.find(
        ({ labels }) =>
          labels["type"] === type && labels["direction"] === direction,
      )?.value ?? 0
    );
  }

  function messagesIn(cp: TestControlPlane, type: string): Promise<number> {
    return messages(cp, "in", type);
  }

  function manifests(cp: TestControlPlane): Promise<number> {
    return messages(cp, "out", "manifest");
  }

  /** Connects nodes that never read. A request of theirs before the manifest was made would break the protocol. */
  async function deaf(
    cp: TestControlPlane,
    count: number,
  ): Promise<readonly DeafNode[]> {
    const before = await manifests(cp);
    const nodes = Array.from({ length: count }, (_, i) =>
      new DeafNode(cp.address).greet(`deaf-${i}`),
    );
    await eventually(
      async () => (await manifests(cp)) >= before + count || undefined,
      "all of them to be offered the state",
    );
    return nodes;
  }

  async function gauge(cp: TestControlPlane): Promise<number> {
    const metric = cp.metrics.getSingleMetric(
      "holdfast_cp_sync_undrained_bytes",
    );
    return (await metric?.get())?.values[0]?.value ?? 0;
  }

  test("by asking for the same buckets again and again gets Goodbye, or no more than it may have at a time", async () => {
    await withGoodNode(async (cp) => {
      await fill(cp);
      using bad = new PuppetNode(cp.address);
      bad.greet("bad");
      const manifest = await bad.heard("manifest");
      const buckets: readonly BucketDigest[] = manifest.buckets;
      for (let i = 0; i < 200; i++)
        bad.send({
          case: "bucketRequest",
          value: {
            seq: manifest.seq,
            buckets: buckets.map(({ index, hash }) => ({ index, hash })),
          },
        });
      expect((await bad.heard("goodbye")).reason).toBe(GoodbyeReason.PROTOCOL);
    });
  }, 30_000);

  test("by never reading, with enough others, has to make room for those who read", async () => {
    await using dir = await TempDir.make();
    const clock = new ManualClock();
    await using cp = await TestControlPlane.start(dir, 0, { clock });
    const bad: DeafNode[] = [];
    try {
      // Each bucket is a whole piece, which no window takes.
      const large = Array.from({ length: 2 }, (_, i) => {
        const resource = service(`large-${i}`);
        if (resource.kind.case === "service")
          resource.kind.value.tags = Array.from({ length: 1_600 }, () =>
            randomBytes(108).toString("base64url"),
          );
        return resource;
      });
      await cp.put(...large);
      using reader = new PuppetNode(cp.address);
      reader.greet("reader");
      const { buckets } = await reader.heard("manifest");
      const request = (node: PuppetNode | DeafNode) =>
        node.send({
          case: "bucketRequest",
          value: {
            seq: 1n,
            buckets: buckets.map(({ index, hash }) => ({ index, hash })),
          },
        });
      bad.push(...(await deaf(cp, 230)));
      for (const node of bad) request(node);
      await eventually(
        async () =>
          (await gauge(cp)) > LIMITS.snapshotBytesInFlight * 0.98 || undefined,
        "the room to be full",
      );
      request(reader);
      clock.advance(4_000);
      expect(cp.nodes.get("default", "deaf-0")?.connected).toBe(true);
      // Long enough for them to be seen not to read, and for a Goodbye to be seen not to leave.
      clock.advance(2_000);
      await turn();
      clock.advance(2_000);
      await eventually(
        () =>
          reader.received.filter(
            ({ message }) => message.case === "bucketChunk",
          ).length >= buckets.length || undefined,
        "the reader's buckets",
      );
      await eventually(
        () => bad.some(({ closed }) => closed) || undefined,
        "the connections of those who do not read to be cut",
      );
    } finally {
      for (const node of bad) node[Symbol.dispose]();
    }
  }, 60_000);

  test("by never reading holds a frame or two, and nobody up", async () => {
    await withGoodNode(async (cp) => {
      await fill(cp);
      await inSync(cp);
      const before = process.memoryUsage().rss;
      const bad: DeafNode[] = [];
      try {
        // The manifest of one that reads is that of those that do not.
        using reader = new PuppetNode(cp.address);
        reader.greet("reader");
        const manifest = await reader.heard("manifest");
        bad.push(...(await deaf(cp, 20)));
        for (const node of bad)
          node.send({
            case: "bucketRequest",
            value: {
              seq: 1n,
              buckets: manifest.buckets
                .slice(0, 100)
                .map(({ index, hash }) => ({ index, hash })),
            },
          });
        await eventually(
          async () => (await gauge(cp)) > 0 || undefined,
          "what they do not take",
        );
        for (let i = 0; i < 20; i++) await cp.put(service("hot", i + 1));
        await inSync(cp);
        expect(await gauge(cp)).toBeLessThanOrEqual(20 * LIMITS.deltaBytes);
        expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20);
      } finally {
        for (const node of bad) node[Symbol.dispose]();
      }
      await eventually(
        async () => (await gauge(cp)) === 0 || undefined,
        "all that was held to be given back",
      );
    });
  }, 60_000);

  test("by asking for nothing, or for the same, is not kept alive by it", async () => {
    await withGoodNode(async (cp) => {
      await inSync(cp);
      using reader = new PuppetNode(cp.address);
      reader.greet("reader");
      const { seq, buckets } = await reader.heard("manifest");
      using empty = new PuppetNode(cp.address);
      empty.greet("empty");
      await empty.heard("manifest");
      empty.send({ case: "bucketRequest", value: { seq, buckets: [] } });
      expect((await empty.heard("goodbye")).reason).toBe(
        GoodbyeReason.PROTOCOL,
      );
      const [first] = buckets;
      if (first === undefined) throw new Error("no bucket");
      const { index, hash } = first;
      const request = {
        case: "bucketRequest" as const,
        value: { seq, buckets: [{ index, hash }] },
      };
      reader.send(request).send(request);
      expect((await reader.heard("goodbye")).reason).toBe(
        GoodbyeReason.PROTOCOL,
      );
    });
  });

  test("of the time of the loop, by saying things without end, is read at the pace that it may have", async () => {
    await withGoodNode(async (cp) => {
      using flood = new DeafNode(cp.address);
      flood.greet("flood");
      const report = frameOf({ case: "report", value: {} });
      const block = Buffer.concat(Array.from({ length: 1_000 }, () => report));
      // More than it may say in minutes.
      for (let i = 0; i < 100; i++) void flood.write(block);
      await eventually(
        async () => (await messagesIn(cp, "report")) > 1_000 || undefined,
        "what it may say at once",
      );
      const revision = await cp.put(service("d"));
      await eventually(
        () =>
          cp.nodes.get("default", "node")?.serving?.revision === revision ||
          undefined,
        "the good node to serve the next revision",
      );
      expect(await messagesIn(cp, "report")).toBeLessThan(20_000);
    });
  }, 30_000);

  test("by reporting without end is listened to, and nobody waits for it", async () => {
    await withGoodNode(async (cp) => {
      using bad = new PuppetNode(cp.address);
      bad.greet("bad");
      await bad.heard("manifest");
      for (let i = 0; i < 2_000; i++)
        bad.send({
          case: "report",
          value: {
            counters: [
              { revision: BigInt(i), requests: 2n ** 64n - 1n, errors: 1n },
            ],
          },
        });
      await eventually(
        () =>
          (cp.nodes.get("default", "bad")?.requests.length ?? 0) > 0 ||
          undefined,
        "its counters",
      );
      expect(
        cp.nodes.get("default", "bad")?.requests.length,
      ).toBeLessThanOrEqual(16);
      expect(bad.ended).toBeUndefined();
    });
  }, 30_000);
});
