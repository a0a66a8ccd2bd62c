import { create, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { TransactRequestSchema } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { GoodbyeReason } from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { parseHostPort } from "../../src/runtime/host-port.ts";
import {
  adminClient,
  putting,
  type AdminClient,
} from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import {
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { resource } from "../support/resources.ts";
import { PuppetNode } from "../support/sync-peers.ts";
import { DeafNode } from "../support/deaf-node.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

/** Far more than fits into what the kernel and HTTP/2 hold for a node that does not read. */
const LARGE = Array.from({ length: 30 }, (_, i) =>
  putting(
    resource("service", {
      name: `large-${i}`,
      host: "h.example",
      tags: Array.from({ length: 100 }, () => randomBytes(500).toString("hex")),
    }),
  ),
);

function sync(cp: HoldfastProcess) {
  const address = parseHostPort(cp.address("sync"));
  if (!address.ok) throw new Error(cp.address("sync"));
  return address.hostPort;
}

async function fill(admin: AdminClient): Promise<void> {
  for (let at = 0; at < LARGE.length; at += 10)
    await admin.config.transact({ operations: LARGE.slice(at, at + 10) });
}

/** A node that asks for everything and reads nothing of it. */
async function stuckNode(cp: HoldfastProcess): Promise<DeafNode> {
  using reader = new PuppetNode(sync(cp));
  reader.greet("reader");
  const { seq, buckets } = await reader.heard("manifest");
  const stuck = new DeafNode(sync(cp)).greet("stuck");
  const { nodes } = adminClient(cp.url("admin"));
  // A request before the manifest is there would break the protocol.
  await eventually(async () => {
    const listed = (await nodes.listNodes({})).nodes;
    const { reason } = listed.find(({ id }) => id === "stuck") ?? {};
    return reason?.startsWith("is applying") === true ? true : undefined;
  }, "the node to be offered the state");
  stuck.send({
    case: "bucketRequest",
    value: {
      seq,
      buckets: buckets.map(({ index, hash }) => ({ index, hash })),
    },
  });
  return stuck;
}

/** A connection on which these bytes were sent, and nothing is read. */
async function saying(address: string, text: string): Promise<Socket> {
  const [host = "", port = ""] = address.split(":");
  const socket = connect(Number(port), host);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.pause();
  if (text !== "") await new Promise((done) => socket.write(text, done));
  return socket;
}

/** A change that comes in parts, of which the last one is sent when it is released. */
function slowChange(admin: AdminClient, name: string) {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  let begin = (): void => undefined;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const data = toBinary(
    TransactRequestSchema,
    create(TransactRequestSchema, {
      operations: [putting(resource("service", { name, host: "h.example" }))],
    }),
  );
  async function* parts() {
    yield { data: data.subarray(0, 10) };
    begin();
    await released;
    yield { data: data.subarray(10) };
  }
  return { answer: admin.config.transactStream(parts()), begun, release };
}

function stopping(cp: HoldfastProcess): Promise<boolean> {
  return eventually(async () => {
    const ready = await fetch(cp.url("admin", "/status/ready"));
    return ready.status === 503 || undefined;
  }, "it to say that it stops");
}

async function newest({ config }: AdminClient): Promise<bigint | undefined> {
  const { revisions } = await config.listRevisions({ pageSize: 1 });
  return revisions[0]?.cursor?.revision;
}

test("SIGTERM: changes are refused, reading goes on, and a change that is under way is done", async () => {
  await using dir = await TempDir.make();
  const cp = await startCp(dir.join("cp"));
  const admin = adminClient(cp.url("admin"));
  await fill(admin);
  const slow = slowChange(admin, "slow");
  await slow.begun;
  const ended = cp.kill("SIGTERM");
  await stopping(cp);
  const refused = ConnectError.from(
    await admin.config
      .put({ resource: resource("service", { name: "late", host: "h" }) })
      .catch((error: unknown) => error),
  );
  expect(refused.code).toBe(Code.Unavailable);
  expect(refused.rawMessage).toContain("takes no changes any more");
  expect(await newest(admin)).toBe(3n);
  slow.release();
  expect((await slow.answer).revision).toBe(4n);
  expect(await ended).toEqual({ code: 0, signal: null });
  expect(cp.log.join("\n")).not.toContain("took_too_long");

  await using again = await startCp(dir.join("cp"));
  expect(await newest(adminClient(again.url("admin")))).toBe(4n);
}, 60_000);

test("SIGTERM ends it with 0 in time, whoever hangs on to it", async () => {
  await using dir = await TempDir.make();
  const cp = await startCp(dir.join("cp"));
  const admin = adminClient(cp.url("admin"));
  await fill(admin);
  using stuck = await stuckNode(cp);
  // A change that never comes to its end, a watch and a request likewise, and connections that say nothing.
  const slow = slowChange(admin, "never");
  slow.answer.catch(() => undefined);
  await slow.begun;
  const watched = new AbortController();
  const watch = admin.config.watch({}, { signal: watched.signal });
  await watch[Symbol.asyncIterator]().next();
  const sockets = await Promise.all([
    saying(
      cp.address("admin"),
      "POST /holdfast.admin.v1.ConfigService/Put HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    ),
    saying(cp.address("admin"), ""),
    saying(cp.address("sync"), ""),
    saying(cp.address("sync"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  ]);
  const started = performance.now();
  try {
    expect(await cp.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(performance.now() - started).toBeLessThan(10_000);
  } finally {
    watched.abort();
    slow.release();
    for (const socket of sockets) socket.destroy();
  }
  // By itself, and not because its time was up.
  expect(cp.log.join("\n")).not.toContain("process.stop_took_too_long");
  expect(cp.log.at(-1)).toContain("process.stopped");
  await eventually(() => stuck.closed || undefined, "its connection's end");
  // And it left everything in order.
  await using again = await startCp(dir.join("cp"));
  expect(await newest(adminClient(again.url("admin")))).toBe(3n);
}, 60_000);

test("nodes are told to come back later, spread out, and real ones go on serving and come back", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const first = await startCp(dir.join("cp"));
  const admin = adminClient(first.url("admin"));
  await admin.config.transact({
    operations: [
      putting(
        resource("service", {
          name: "s",
          host: "127.0.0.1",
          port: upstream.port,
        }),
      ),
      putting(
        resource("route", {
          name: "r",
          paths: ["/v1"],
          service: { name: "s" },
        }),
      ),
    ],
  });
  await using dp = await startDp(dir.join("dp"), first.address("sync"));
  const get = async (path: string) =>
    (await fetch(dp.url("proxy", path))).status;
  await eventually(async () => (await get("/v1")) === 200 || undefined, "/v1");
  const puppets = Array.from({ length: 40 }, (_, i) =>
    new PuppetNode(sync(first)).greet(`puppet-${i}`),
  );
  try {
    await Promise.all(puppets.map((puppet) => puppet.heard("welcome")));
    const ended = first.kill("SIGTERM");
    const goodbyes = await Promise.all(
      puppets.map((puppet) => puppet.heard("goodbye")),
    );
    expect(await ended).toEqual({ code: 0, signal: null });
    const waits = goodbyes.map(({ reason, retryAfter }) => {
      expect(reason).toBe(GoodbyeReason.DRAIN);
      return retryAfter === undefined ? -1 : durationMs(retryAfter);
    });
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
    // A node each 10 ms or so: not all in one moment, and none much later than need be.
    expect(new Set(waits).size).toBeGreaterThan(10);
    expect(Math.max(...waits)).toBeLessThanOrEqual(41 * 10);
  } finally {
    for (const puppet of puppets) puppet[Symbol.dispose]();
  }
  expect(await get("/v1")).toBe(200);
  await using second = await startCp(dir.join("cp"), {
    sync: first.address("sync"),
  });
  await adminClient(second.url("admin")).config.put({
    resource: resource("route", {
      name: "r",
      paths: ["/v2"],
      service: { name: "s" },
    }),
  });
  await eventually(async () => (await get("/v2")) === 200 || undefined, "/v2");
}, 60_000);
