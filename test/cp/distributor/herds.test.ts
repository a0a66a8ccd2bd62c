import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  GoodbyeReason,
  HelloSchema,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { eventually } from "../../support/eventually.ts";
import { service, TestControlPlane } from "../../support/link-harness.ts";
import { PuppetNode } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

function greeting(id: string, boot: string, hostname: string) {
  return {
    case: "hello" as const,
    value: create(HelloSchema, {
      node: { id, boot, build: "b", hostname },
      features: [{ name: "kind/service", version: 1 }],
    }),
  };
}

describe("rule 9: herds", () => {
  test("at a shutdown each node is told when to come back, all of them spread over some time, and none is waited for", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    const nodes = Array.from({ length: 60 }, () => new PuppetNode(cp.address));
    try {
      nodes.forEach((node, i) => node.greet(`n${i}`));
      for (const node of nodes) await node.heard("welcome");
      await cp[Symbol.asyncDispose]();
      const waits: number[] = [];
      for (const node of nodes) {
        const { reason, retryAfter } = await node.heard("goodbye");
        expect(reason).toBe(GoodbyeReason.DRAIN);
        waits.push(retryAfter === undefined ? -1 : durationMs(retryAfter));
      }
      // 10 ms for each of the 60.
      expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...waits)).toBeLessThanOrEqual(600);
      expect(new Set(waits).size).toBeGreaterThan(20);
      for (const node of nodes)
        await eventually(() => node.ended, "the end of a stream");
    } finally {
      for (const node of nodes) node[Symbol.dispose]();
    }
  }, 30_000);
});

describe("rule 7: a node id has one live process", () => {
  test("another process with the same id is refused while the first is alive, and told both hosts; the first goes on", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    using first = new PuppetNode(cp.address);
    first.send(greeting("n", "boot-1", "host-one"));
    await first.heard("welcome");
    using second = new PuppetNode(cp.address);
    second.send(greeting("n", "boot-2", "host-two"));
    const { reason, message } = await second.heard("goodbye");
    expect(reason).toBe(GoodbyeReason.DUPLICATE);
    expect(message).toContain("host-one");
    expect(message).toContain("host-two");
    first.send({ case: "snapshotRequest", value: {} });
    expect(await first.heard("manifest")).toBeDefined();
    expect(cp.nodes.get("default", "n")).toMatchObject({
      boot: "boot-1",
      hostname: "host-one",
      connected: true,
    });
  });

  test("the same process replaces its stream", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    using first = new PuppetNode(cp.address);
    first.send(greeting("n", "boot-1", "host-one"));
    await first.heard("welcome");
    using second = new PuppetNode(cp.address);
    second.send(greeting("n", "boot-1", "host-one"));
    await second.heard("welcome");
    expect((await first.heard("goodbye")).reason).toBe(GoodbyeReason.DUPLICATE);
    await eventually(() => first.ended, "the end of the older stream");
    expect(cp.nodes.get("default", "n")?.connected).toBe(true);
  });

  test("once the first is gone the other may come in", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    {
      using first = new PuppetNode(cp.address);
      first.send(greeting("n", "boot-1", "host-one"));
      await first.heard("welcome");
    }
    await eventually(
      () => cp.nodes.get("default", "n")?.connected === false || undefined,
      "the end of the first",
    );
    using second = new PuppetNode(cp.address);
    second.send(greeting("n", "boot-2", "host-two"));
    await second.heard("welcome");
    expect(cp.nodes.get("default", "n")).toMatchObject({
      boot: "boot-2",
      hostname: "host-two",
    });
  });
});
