import { cp as copy } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { GoodbyeReason } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import {
  formatHostPort,
  parseHostPort,
} from "../../../src/runtime/host-port.ts";
import { eventually } from "../../support/eventually.ts";
import { Gate } from "../../support/gate.ts";
import {
  service,
  TestControlPlane,
  TestNode,
} from "../../support/link-harness.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { PuppetControlPlane, PuppetNode } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

function on(node: TestNode, address: string): Promise<true> {
  return eventually(
    () => node.client.controlPlane === address || undefined,
    `the node at ${address}, which is at ${JSON.stringify(node.client.controlPlanes)}`,
  );
}

/** Of a puppet or a gate. */
function target(address: string) {
  const parsed = parseHostPort(address);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.hostPort;
}

describe("with several control planes", () => {
  test("the one that is connected drains, and the node is at the other without waiting for it", async () => {
    await using one = await TempDir.make();
    await using two = await TempDir.make();
    {
      await using cp = await TestControlPlane.start(one);
      await cp.put(service("a"));
    }
    await copy(one.join("cp"), two.join("cp"), { recursive: true });
    await using second = await TestControlPlane.start(two);
    const logger = new RecordingLogger();
    const first = await TestControlPlane.start(one);
    await using node = await TestNode.start(
      one,
      [first.address, second.address],
      { logger },
    );
    await on(node, formatHostPort(first.address));
    await eventually(
      () => node.activation.active?.cursor.revision === 1n || undefined,
      "the state",
    );
    await first[Symbol.asyncDispose]();
    await on(node, formatHostPort(second.address));
    expect(logger.last("sync.disconnected")?.fields["reason"]).toMatch(
      /^DRAIN/,
    );
    expect(node.client.controlPlanes).toMatchObject([
      { state: "idle", lastError: expect.stringMatching(/^DRAIN/) as string },
      { state: "connected", lastError: undefined },
    ]);
    // Both have the same history: nothing is sent again, and what is new arrives.
    await second.put(service("b"));
    await eventually(
      () => node.activation.active?.cursor.revision === 2n || undefined,
      "the change",
    );
    expect(node.activation.served.map((each) => each.cursor.revision)).toEqual([
      1n,
      2n,
    ]);
  });

  test("one that takes connections in and says nothing holds nobody up for more than a second", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using gate = await Gate.inFrontOf(formatHostPort(cp.address));
    const clock = new ManualClock();
    await using node = await TestNode.start(
      dir,
      [target(gate.address), cp.address],
      { clock },
    );
    await eventually(
      () => (clock.timers > 0 ? true : undefined),
      "the first attempt",
    );
    expect(node.client.controlPlanes).toMatchObject([
      { address: gate.address, state: "connecting" },
      { state: "waiting", nextAttemptMs: 1_000 },
    ]);
    clock.advance(1_000);
    await cp.welcomed(1);
    await on(node, formatHostPort(cp.address));
    expect(node.client.controlPlanes[0]).toMatchObject({
      state: "idle",
      lastError: undefined,
    });
  });

  test("one that refuses is followed by the other, and /status says why", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, [
      { host: "127.0.0.1", port: 1 },
      cp.address,
    ]);
    await cp.welcomed(1);
    await on(node, formatHostPort(cp.address));
    expect(node.client.controlPlanes[0]?.lastError).toBe(
      "cannot connect to 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1",
    );
  });
});

describe("with one control plane", () => {
  test("that is slow to let it in, it waits in its place", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using gate = await Gate.inFrontOf(formatHostPort(cp.address));
    const clock = new ManualClock();
    await using node = await TestNode.start(dir, target(gate.address), {
      clock,
    });
    await eventually(
      () => (clock.timers > 0 ? true : undefined),
      "the first attempt",
    );
    clock.advance(29_000);
    gate.open();
    await cp.welcomed(1);
    await on(node, gate.address);
    expect(node.client.controlPlanes).toMatchObject([
      { state: "connected", lastError: undefined },
    ]);
  });

  test.each([
    ["DRAIN", GoodbyeReason.DRAIN],
    ["OVERLOAD", GoodbyeReason.OVERLOAD],
  ])(
    "that says %s, it stays away for as long as it is told",
    async (_name, reason) => {
      await using dir = await TempDir.make();
      await using cp = await PuppetControlPlane.start();
      const clock = new ManualClock();
      await using node = await TestNode.start(dir, cp.address, { clock });
      const stream = await cp.welcomed(1);
      await stream.send({
        case: "goodbye",
        value: { reason, retryAfter: { seconds: 20n } },
      });
      await eventually(() => stream.gone.aborted || undefined, "the end");
      await eventually(
        () => node.client.controlPlanes[0]?.state === "waiting" || undefined,
        "the wait",
      );
      expect(node.client.controlPlanes[0]?.nextAttemptMs).toBe(20_000);
      clock.advance(19_999);
      expect(node.client.controlPlanes[0]?.state).toBe("waiting");
      expect(cp.streams).toHaveLength(1);
      clock.advance(1);
      await cp.welcomed(2);
    },
  );
});

describe("other control planes that one names when it says Goodbye", () => {
  test("are gone to, only on this machine without TLS, and the listed one is come back to", async () => {
    await using dir = await TempDir.make();
    await using listed = await PuppetControlPlane.start();
    await using other = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, listed.address);
    await (
      await listed.welcomed(1)
    ).send({
      case: "goodbye",
      value: {
        reason: GoodbyeReason.DRAIN,
        retryAfter: { seconds: 1n },
        alternatives: [
          "10.0.0.1:8005",
          "not an address",
          formatHostPort(other.address),
        ],
      },
    });
    const there = await other.welcomed(1);
    await on(node, formatHostPort(other.address));
    expect(node.client.controlPlanes.map(({ address }) => address)).toEqual([
      formatHostPort(listed.address),
      formatHostPort(other.address),
    ]);
    await there.send({
      case: "goodbye",
      value: { reason: GoodbyeReason.DRAIN, retryAfter: { seconds: 60n } },
    });
    await listed.welcomed(2);
  });

  test("are told by one that shuts down, and not to a node that is at fault itself", async () => {
    await using dir = await TempDir.make();
    await using nodeDir = await TempDir.make();
    await using other = await PuppetControlPlane.start();
    const alternative = formatHostPort(other.address);
    await using cp = await TestControlPlane.start(dir, 0, {
      alternatives: [alternative],
    });
    await using node = await TestNode.start(nodeDir, cp.address, { id: "n" });
    await on(node, formatHostPort(cp.address));
    using second = new PuppetNode(cp.address);
    second.greet("n");
    expect(await second.heard("goodbye")).toMatchObject({
      reason: GoodbyeReason.DUPLICATE,
      alternatives: [],
    });
    using witness = new PuppetNode(cp.address);
    witness.greet("witness");
    await witness.heard("welcome");
    await cp[Symbol.asyncDispose]();
    expect(await witness.heard("goodbye")).toMatchObject({
      reason: GoodbyeReason.DRAIN,
      alternatives: [alternative],
    });
    await other.welcomed(1);
    await on(node, alternative);
  });

  test("of one that finds fault with the node are not gone to", async () => {
    await using dir = await TempDir.make();
    await using listed = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, listed.address);
    await (
      await listed.welcomed(1)
    ).send({
      case: "goodbye",
      value: {
        reason: GoodbyeReason.PROTOCOL,
        alternatives: ["127.0.0.1:1"],
      },
    });
    await listed.greeted(2);
    expect(node.client.controlPlanes).toHaveLength(1);
  });
});
