import { toBinary, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { State } from "../../src/dp/replica/last-good.ts";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  type ConnectResponse,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";
import { runSlices } from "../../src/model/slices.ts";
import { Bucket } from "../../src/model/bucket.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { eventually } from "../support/eventually.ts";
import {
  service,
  TestControlPlane,
  TestNode,
} from "../support/link-harness.ts";
import { ProtocolVersion } from "../support/protocol-version.ts";
import { id, resource } from "../support/resources.ts";
import {
  PuppetControlPlane,
  PuppetNode,
  type NodeStream,
} from "../support/sync-peers.ts";
import { TempDir } from "../support/temp-dir.ts";

const older = await ProtocolVersion.load("older");
const newer = await ProtocolVersion.load("newer");

const KINDS = ["kind/service", "kind/route"].map((name) => ({
  name,
  version: 1,
}));

/** A node of another version: all it reads and writes goes through that version's files. */
class OtherNode {
  readonly #node: PuppetNode;
  readonly #version: ProtocolVersion;

  constructor(node: PuppetNode, version: ProtocolVersion) {
    this.#node = node;
    this.#version = version;
  }

  say(message: JsonObject): void {
    this.#node.send(this.#version.encode("sync.v1.ConnectRequest", message));
  }

  greet(hello: JsonObject = {}): void {
    const node = { id: "other", boot: "b", build: "other", hostname: "h" };
    this.say({ hello: { node, features: KINDS, ...hello } });
    this.say({ snapshotRequest: {} });
  }

  /** Waits for the n-th message of a type, from 1, as this version sees it. */
  heard(type: string, count = 1): Promise<JsonObject> {
    return eventually(
      () =>
        this.#node.received
          .map((message) =>
            this.#version.decode(
              "sync.v1.ConnectResponse",
              toBinary(ConnectResponseSchema, message),
            ),
          )
          .filter((message) => type in message)
          .map((message) => object(message[type]))[count - 1],
      `${type} ${count}`,
    );
  }

  /** Fetches the buckets of a manifest one chunk each, and the snapshot they make. */
  async fetch(manifest: JsonObject): Promise<Snapshot> {
    const digests = list(manifest["buckets"]).map(object);
    this.say({
      bucketRequest: {
        seq: manifest["seq"] ?? "0",
        buckets: digests.map(({ index = 0, hash = "" }) => ({ index, hash })),
      },
    });
    const buckets: [number, Bucket][] = [];
    for (let count = 1; count <= digests.length; count++) {
      const chunk = await this.heard("bucket_chunk", count);
      const data = Buffer.from(text(chunk["data"]), "base64");
      const plain = chunk["codec"] === "CODEC_GZIP" ? gunzipSync(data) : data;
      const index = Number(chunk["index"] ?? 0);
      const bucket = Bucket.parse(index, plain);
      if (typeof bucket === "string") throw new Error(bucket);
      buckets.push([index, bucket]);
    }
    return Snapshot.ofBuckets("default", buckets);
  }
}

/** Sends a node a message of another version. */
function say(
  stream: NodeStream,
  version: ProtocolVersion,
  message: JsonObject,
): Promise<void> {
  return stream.send(version.encode("sync.v1.ConnectResponse", message));
}

/** Brings a state as a control plane of another version does, with a chunk for each bucket. */
async function bringAs(
  stream: NodeStream,
  version: ProtocolVersion,
  { cursor, snapshot }: State,
  more: JsonObject = {},
): Promise<void> {
  const buckets = [...snapshot.buckets()];
  await say(stream, version, {
    manifest: {
      seq: "1",
      cursor: plainCursor(cursor),
      buckets: buckets.map(([index, { hash, bytes }]) => ({
        index,
        hash: base64(hash),
        size: bytes.length,
      })),
      totals: {
        buckets: buckets.length,
        entries: String(snapshot.entryCount),
        bytes: String(snapshot.byteCount),
      },
      ...more,
    },
  });
  const request = await stream.heard("bucketRequest");
  for (const { index } of request.buckets) {
    const bytes = snapshot.bucket(index)?.bytes ?? Buffer.alloc(0);
    await say(stream, version, {
      bucketChunk: {
        seq: "1",
        index,
        offset: 0,
        last: true,
        codec: "CODEC_IDENTITY",
        data: base64(bytes),
        size: bytes.length,
      },
    });
  }
  expect((await stream.heard("ack")).cursor).toEqual(cursor);
}

function statesOf(values: readonly Uint8Array[]): State {
  const snapshot = runSlices(
    Snapshot.empty("default").applySlices({
      puts: values.map((value, n) => ({
        key: `service/${id(n + 1)}`,
        value: Buffer.from(value),
      })),
      deletes: [],
    }),
  );
  return { snapshot, cursor: cursorOf("epoch", 1n, snapshot.root) };
}

describe("a node built from older protocol files, and this control plane", () => {
  test("the node gets the full snapshot in messages it knows, then deltas, and is shown in sync", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(...["a", "b", "c", "d"].map((name) => service(name)));
    using puppet = new PuppetNode(cp.address);
    const node = new OtherNode(puppet, older);
    node.greet();
    const manifest = await node.heard("manifest");
    const snapshot = await node.fetch(manifest);
    const offered = object(manifest["cursor"]);
    expect(snapshot.root).toBe(offered["root"]);
    node.say({ ack: { seq: "1", cursor: offered } });
    await cp.put(service("e"));
    const delta = await node.heard("delta");
    expect(delta["from"]).toEqual(offered);
    node.say({ ack: { seq: delta["seq"] ?? "", cursor: delta["to"] ?? null } });
    await eventually(
      () => cp.nodes.get("default", "other")?.inSync === true || undefined,
      "the node in sync",
    );
    expect(unreadable(older, puppet.received)).toEqual([]);
  });

  test("the node is not sent a state with a kind of later builds, serves on, and gets the next that it can read", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    using puppet = new PuppetNode(cp.address);
    const node = new OtherNode(puppet, older);
    node.greet();
    const { cursor = null } = await node.heard("manifest");
    node.say({ ack: { seq: "1", cursor } });
    await cp.put(service("b"), resource("consumerGroup", { name: "gold" }));
    const shown = await eventually(
      () =>
        cp.nodes
          .list("default")
          .find(({ missingFeatures }) => missingFeatures.length > 0),
      "the node that lacks something",
    );
    expect(shown).toMatchObject({
      connected: true,
      inSync: false,
      serving: { revision: 1n },
      missingFeatures: [
        expect.stringContaining("lacks kind/consumer_group (version 1)"),
      ],
    });
    await cp.catalog.transact([
      { type: "delete", kind: "consumer_group", name: "gold" },
    ]);
    const delta = await node.heard("delta");
    expect(object(delta["to"])["revision"]).toBe("3");
    node.say({ ack: { seq: delta["seq"] ?? "", cursor: delta["to"] ?? null } });
    await eventually(
      () => cp.nodes.get("default", "other")?.inSync === true || undefined,
      "the node in sync",
    );
    expect(unreadable(older, puppet.received)).toEqual([]);
    expect(puppet.ended).toBeUndefined();
  });

  test("a pin, of which the node knows nothing, reaches it as a Goodbye that says when to come back, and then as a state like others", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    const have = plainCursor(cp.catalog.head.cursor);
    for (const name of ["b", "c"]) await cp.put(service(name));
    using puppet = new PuppetNode(cp.address);
    const node = new OtherNode(puppet, older);
    node.greet({ have });
    expect(revisionOf(await node.heard("manifest"))).toBe("3");
    await cp.nodes.pin("default", ["other"], 2n);
    expect(await node.heard("goodbye")).toMatchObject({
      message: expect.stringContaining("revision 2") as string,
      retry_after: "0s",
    });
    using again = new PuppetNode(cp.address);
    const back = new OtherNode(again, older);
    back.greet({ have });
    expect(revisionOf(await back.heard("manifest"))).toBe("2");
    expect(unreadable(older, [...puppet.received, ...again.received])).toEqual(
      [],
    );
  });
});

describe("a control plane built from older protocol files, and this node", () => {
  test("the node takes its snapshot and follows its deltas", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await cp.greeted(1);
    await say(stream, older, { welcome: { session: "s", cp: "older" } });
    const state = statesOf([Buffer.from("one"), Buffer.from("two")]);
    await bringAs(stream, older, state);
    const content = older.encode("sync.v1.DeltaContent", {
      deletes: [`service/${id(1)}`],
    });
    const next = runSlices(
      state.snapshot.applySlices({ puts: [], deletes: [`service/${id(1)}`] }),
    );
    const to = cursorOf("epoch", 2n, next.root);
    await say(stream, older, {
      delta: {
        seq: "2",
        from: plainCursor(state.cursor),
        to: plainCursor(to),
        codec: "CODEC_IDENTITY",
        data: base64(content),
        size: content.length,
      },
    });
    expect((await stream.heard("ack", 2)).cursor).toEqual(to);
    expect(node.client.serving).toEqual(to);
    // The other way an older build reads all that this one says.
    const said = stream.received.map((message) =>
      older.decode(
        "sync.v1.ConnectRequest",
        toBinary(ConnectRequestSchema, message),
      ),
    );
    expect(said.filter((message) => Object.keys(message).length === 0)).toEqual(
      [],
    );
    expect(said[0]).toMatchObject({ hello: { workspace: "default" } });
    await say(stream, older, {
      goodbye: { reason: "GOODBYE_REASON_DRAIN", message: "an upgrade" },
    });
    await eventually(
      async () => (await node.messages())["in goodbye"] === 1 || undefined,
      "the Goodbye",
    );
    expect(node.client.serving).toEqual(to);
    expect(node.activation.active?.snapshot.root).toBe(next.root);
  });
});

describe("a node built from newer protocol files, and this control plane", () => {
  test("what the control plane does not know of it is no more than a sign of life", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    using puppet = new PuppetNode(cp.address);
    const node = new OtherNode(puppet, newer);
    node.greet({
      mood: "bright",
      features: [...KINDS, { name: "kind/vault", version: 3 }],
    });
    const manifest = await node.heard("manifest");
    node.say({ trace: { text: "hello" } });
    node.say({ report: { mood: "brighter" } });
    const snapshot = await node.fetch(manifest);
    node.say({ trace: { text: "done" } });
    const offered = object(manifest["cursor"]);
    expect(snapshot.root).toBe(offered["root"]);
    node.say({ ack: { seq: "1", cursor: offered } });
    await eventually(
      () => cp.nodes.get("default", "other")?.inSync === true || undefined,
      "the node in sync",
    );
    expect(puppet.ended).toBeUndefined();
  });

  test("a class of refusal that the control plane does not know is one: another state is offered, on the same stream", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    using puppet = new PuppetNode(cp.address);
    const node = new OtherNode(puppet, newer);
    node.greet();
    const { cursor = null } = await node.heard("manifest");
    node.say({ nack: { seq: "1", cursor, class: "NACK_CLASS_TIRED" } });
    await eventually(
      () => cp.nodes.get("default", "other")?.lastNack?.cursor,
      "the refusal",
    );
    const revision = await cp.put(service("b"));
    const second = await node.heard("manifest", 2);
    expect(object(second["cursor"])["revision"]).toBe(String(revision));
    expect(puppet.ended).toBeUndefined();
  });
});

describe("a control plane built from newer protocol files, and this node", () => {
  const vault = newer.encode("config.v1.Resource", {
    vault: { id: id(1), name: "v" },
  });
  const motto = newer.encode("config.v1.Resource", {
    service: { id: id(2), name: "s", host: "h", motto: "hold fast" },
  });
  const renamed = newer.encode("config.v1.Resource", {
    service: { id: id(2), name: "t", host: "h", motto: "let go" },
  });

  test("kinds and fields that the node does not know are kept byte for byte, in what it serves, on its disk and in the root", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    const state = statesOf([vault, motto]);
    {
      await using node = await TestNode.start(dir, cp.address);
      const stream = await cp.greeted(1);
      await say(stream, newer, { welcome: { session: "s", mood: "bright" } });
      await say(stream, newer, { notice: { text: "you do not know this" } });
      await bringAs(stream, newer, state, { mood: "bright" });
      expect(node.activation.active?.snapshot.root).toBe(state.snapshot.root);
    }
    await using again = await TestNode.start(dir, cp.address);
    const loaded = again.activation.active?.snapshot;
    expect(loaded?.root).toBe(state.snapshot.root);
    expect(
      [...(loaded?.entries() ?? [])].map(({ value }) => base64(value)).sort(),
    ).toEqual([vault, motto].map(base64).sort());
  });

  test("a delta brings such kinds and fields, and what comes beside them, byte for byte too", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await cp.welcomed(1);
    const before = statesOf([motto]);
    await bringAs(stream, newer, before);
    const keys = [`service/${id(1)}`, `vault/${id(1)}`];
    const put = (key: string | undefined, value: Uint8Array) => ({
      key: key ?? "",
      value: Buffer.from(value),
    });
    const puts = [put(keys[0], renamed), put(keys[1], vault)];
    const snapshot = runSlices(
      before.snapshot.applySlices({ puts, deletes: [] }),
    );
    const to = cursorOf("epoch", 2n, snapshot.root);
    const content = newer.encode("sync.v1.DeltaContent", {
      puts: puts.map(({ key, value }) => ({ key, value: base64(value) })),
    });
    await say(stream, newer, {
      delta: {
        seq: "2",
        from: plainCursor(before.cursor),
        to: plainCursor(to),
        codec: "CODEC_IDENTITY",
        data: base64(content),
        size: content.length,
      },
    });
    expect((await stream.heard("ack", 2)).cursor).toEqual(to);
    const served = [...(node.activation.active?.snapshot.entries() ?? [])];
    expect(served.map(({ value }) => base64(value)).sort()).toEqual(
      [renamed, vault].map(base64).sort(),
    );
  });

  test("messages it does not know are signs of life, and a Goodbye for an unknown reason is a Goodbye", async () => {
    await using dir = await TempDir.make();
    await using cp = await PuppetControlPlane.start();
    await using node = await TestNode.start(dir, cp.address);
    const stream = await cp.welcomed(1);
    for (let count = 0; count < 20; count++)
      await say(stream, newer, { notice: { text: `${count}` } });
    const state = statesOf([motto]);
    await bringAs(stream, newer, state);
    await say(stream, newer, {
      goodbye: { reason: "GOODBYE_REASON_MOON", message: "full" },
    });
    await eventually(
      async () => (await node.messages())["in goodbye"] === 1 || undefined,
      "the Goodbye",
    );
    expect(node.client.serving).toEqual(state.cursor);
  });
});

/** Messages of which a version sees nothing. */
function unreadable(
  version: ProtocolVersion,
  received: readonly ConnectResponse[],
): readonly (string | undefined)[] {
  return received
    .filter(
      (message) =>
        Object.keys(
          version.decode(
            "sync.v1.ConnectResponse",
            toBinary(ConnectResponseSchema, message),
          ),
        ).length === 0,
    )
    .map(({ message }) => message.case);
}

/** Which revision a Manifest brings. */
function revisionOf(manifest: JsonObject): JsonValue | undefined {
  return object(manifest["cursor"])["revision"];
}

function plainCursor({ epoch, revision, root }: Cursor): JsonObject {
  return { epoch, revision: String(revision), root };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function object(value: JsonValue | undefined): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new TypeError(`${JSON.stringify(value)} is not an object`);
  return value;
}

function list(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
