import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { create } from "@bufbuild/protobuf";
import { ResourceSchema } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { eventually } from "../../support/eventually.ts";
import {
  FEATURES,
  service,
  TestActivation,
  TestControlPlane,
  TestNode,
} from "../../support/link-harness.ts";
import { TempDir } from "../../support/temp-dir.ts";

function inSync(cp: TestControlPlane, node: TestNode): Promise<true> {
  return eventually(
    () =>
      node.activation.active?.cursor.root === cp.catalog.head.cursor.root &&
      cp.nodes.get("default", "node")?.inSync === true
        ? true
        : undefined,
    "the node in sync",
  );
}

describe("a control plane and a node over a real stream", () => {
  test("an empty control plane makes the node ready with an empty configuration", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await using node = await TestNode.start(dir, cp.address);
    await inSync(cp, node);
    expect(node.activation.active?.snapshot.entryCount).toBe(0);
    expect(node.activation.active?.cursor.revision).toBe(0n);
  });

  test("what is written is served by the node byte for byte, and the node list says so", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await using node = await TestNode.start(dir, cp.address);
    await inSync(cp, node);
    const revision = await cp.put(service("a"), service("b"));
    await inSync(cp, node);
    const active = node.activation.active;
    expect(active?.cursor).toEqual(cp.catalog.head.cursor);
    expect([...(active?.snapshot.entries() ?? [])]).toEqual([
      ...cp.catalog.head.snapshot.entries(),
    ]);
    expect(cp.nodes.list("default")).toMatchObject([
      {
        id: "node",
        hostname: "host-node",
        ip: "127.0.0.1",
        labels: { zone: "a" },
        connected: true,
        inSync: true,
        reason: "",
        serving: { revision },
      },
    ]);
    expect(await node.messages()).toMatchObject({
      "out snapshot_request": 1,
      "in manifest": 1,
      "in delta": 1,
      "out ack": 2,
    });
  });

  test("commits made while the node is busy reach it as one frame", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await using node = await TestNode.start(dir, cp.address);
    await inSync(cp, node);
    let open = (): void => undefined;
    node.activation.gate = new Promise((resolve) => {
      open = resolve;
    });
    await cp.put(service("first"));
    await eventually(
      async () => (await node.messages())["in delta"],
      "the first delta",
    );
    for (let i = 0; i < 200; i++) await cp.put(service("busy", i + 1));
    await eventually(
      () =>
        cp.nodes.get("default", "node")?.wanted?.revision === 201n || undefined,
      "the last commit to be published",
    );
    open();
    await inSync(cp, node);
    // The last is a Delta while the state the node has is retained, else a Manifest.
    const messages = await node.messages();
    expect((messages["in delta"] ?? 0) + (messages["in manifest"] ?? 0)).toBe(
      3,
    );
    expect(node.activation.served.map((s) => s.cursor.revision)).toEqual([
      0n,
      1n,
      201n,
    ]);
  });

  test("after an outage with 100 changes to one key there is one snapshot request, one manifest, one bucket and no delta", async () => {
    await using dir = await TempDir.make();
    let port: number;
    {
      await using cp = await TestControlPlane.start(dir);
      port = cp.address.port;
      await cp.put(
        ...Array.from({ length: 50 }, (_, i) => service(`service-${i}`)),
      );
      await using node = await TestNode.start(dir, cp.address);
      await inSync(cp, node);
    }
    await using cp = await TestControlPlane.start(dir, port);
    for (let i = 0; i < 100; i++) await cp.put(service("service-7", 1000 + i));
    await using node = await TestNode.start(dir, cp.address);
    // It has what it had before it has heard anything.
    expect(node.activation.active?.snapshot.entryCount).toBe(50);
    await inSync(cp, node);
    const messages = await node.messages();
    expect(messages).toMatchObject({
      "out snapshot_request": 1,
      "in manifest": 1,
      "out bucket_request": 1,
      "in bucket_chunk": 1,
    });
    expect(messages["in delta"]).toBeUndefined();
  });

  test("a large change goes as a manifest and buckets in chunks, in requests of at most 4 MiB", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await using node = await TestNode.start(dir, cp.address);
    await inSync(cp, node);
    const big = Array.from({ length: 40 }, (_, i) =>
      create(ResourceSchema, {
        kind: {
          case: "plugin",
          value: {
            name: `custom-${i}`,
            // Random, so that compression does not make it small.
            config: { data: randomBytes(100_000).toString("base64") },
          },
        },
      }),
    );
    await using able = await TestNode.start(dir, cp.address, {
      id: "able",
      features: [
        ...FEATURES,
        ...big.map((_, i) => ({ name: `plugin/custom-${i}`, version: 1 })),
      ],
    });
    await cp.put(...big);
    await eventually(
      () =>
        able.activation.active?.cursor.root === cp.catalog.head.cursor.root
          ? true
          : undefined,
      "the large state",
    );
    const messages = await able.messages();
    expect(messages["in delta"]).toBeUndefined();
    expect(messages["out bucket_request"]).toBeGreaterThan(1);
    expect(messages["in bucket_chunk"]).toBeGreaterThanOrEqual(36);
    // Rule 11: the other lacks the plugins, keeps what it has, and the list says why.
    const lacking = cp.nodes.get("default", "node");
    expect(lacking?.inSync).toBe(false);
    expect(lacking?.reason).toContain("lacks plugin/custom-0");
    expect(lacking?.serving?.revision).toBe(0n);
    await eventually(
      () => cp.nodes.waiting("default", 1n).serving === 1 || undefined,
      "the acknowledgement",
    );
    expect(cp.nodes.waiting("default", 1n)).toMatchObject({
      refusing: 1,
      total: 2,
      missing: [{ id: "node" }],
    });
  });

  test("a refused state changes nothing, is reported with key, field and reason, is not sent again after a reconnect, and a fix heals it", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    const activation = new TestActivation();
    activation.judge = ({ snapshot }) =>
      snapshot.entryCount > 1 ? "cannot be two" : undefined;
    await cp.put(service("a"));
    {
      await using node = await TestNode.start(dir, cp.address, { activation });
      await inSync(cp, node);
      await cp.put(service("b"));
      const refused = await eventually(() => {
        const row = cp.nodes.get("default", "node");
        return row?.lastNack === undefined ? undefined : row;
      }, "the nack");
      expect(refused).toMatchObject({
        inSync: false,
        serving: { revision: 1n },
        lastNack: {
          class: "INVALID",
          cursor: { revision: 2n },
          violations: [
            { key: "service/x", field: "host", reason: "cannot be two" },
          ],
        },
      });
      expect(refused.reason).toContain("cannot be two");
      expect(activation.active?.cursor.revision).toBe(1n);
      expect(cp.nodes.waiting("default", 2n).refusing).toBe(1);
    }
    await using node = await TestNode.start(dir, cp.address, { activation });
    await eventually(
      async () => (await node.messages())["in welcome"],
      "the welcome",
    );
    await cp.catalog.transact([{ type: "delete", kind: "service", name: "a" }]);
    await inSync(cp, node);
    expect(await node.messages()).toMatchObject({ "in manifest": 1 });
    expect(cp.nodes.get("default", "node")?.lastNack).toBeUndefined();
  });

  test("another workspace is told that it does not exist", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await using node = await TestNode.start(dir, cp.address, {
      workspace: "other",
    });
    await eventually(
      async () => (await node.messages())["in goodbye"],
      "the goodbye",
    );
    expect(node.client.controlPlane).toBeUndefined();
    expect(cp.nodes.list("default")).toEqual([]);
  });

  test("a second process with a node id that is connected is sent away, the first goes on", async () => {
    await using dir = await TempDir.make();
    await using other = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await using first = await TestNode.start(dir, cp.address);
    await inSync(cp, first);
    await using second = await TestNode.start(other, cp.address);
    await eventually(
      async () => (await second.messages())["in goodbye"],
      "the goodbye",
    );
    await cp.put(service("a"));
    await inSync(cp, first);
    expect(second.activation.active).toBeUndefined();
  });

  test("the node list survives a restart of the control plane", async () => {
    await using dir = await TempDir.make();
    {
      await using cp = await TestControlPlane.start(dir);
      await cp.put(service("a"));
      await using node = await TestNode.start(dir, cp.address);
      await inSync(cp, node);
    }
    await using cp = await TestControlPlane.start(dir);
    expect(cp.nodes.list("default")).toMatchObject([
      {
        id: "node",
        connected: false,
        inSync: false,
        reason: "not connected",
        serving: { revision: 1n },
      },
    ]);
  });
});
