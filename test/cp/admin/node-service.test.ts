import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  UpstreamHealthSchema,
  type WatchNodesResponse,
} from "../../../src/gen/holdfast/admin/v1/node_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  each,
  PROTOCOLS,
  startAdminServer,
  take,
  type AdminServer,
} from "../../support/admin-server.ts";
import { eventually } from "../../support/eventually.ts";

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
  server.nodes.set({ id: "one" });
  server.nodes.set({ id: "two" });
});
afterEach(() => stack.close());

const told = ({ node, removed }: WatchNodesResponse): string =>
  `${removed ? "-" : ""}${node!.id}:${node!.build}`;

test("nodes are listed, read and asked to retry", async () => {
  const { nodes } = await server.node.listNodes({});
  expect(nodes.map(({ id }) => id)).toEqual(["one", "two"]);
  expect((await server.node.getNode({ id: "two" })).node?.id).toBe("two");
  expect((await server.node.retry({ id: "one" })).node?.id).toBe("one");
  expect(server.nodes.retried).toEqual(["one"]);
});

test.each([
  ["getNode", { id: "three" }, Code.NotFound, 'id: there is no node "three"'],
  ["retry", { id: "three" }, Code.NotFound, 'id: there is no node "three"'],
  ["allow", { id: "three" }, Code.NotFound, 'id: there is no node "three"'],
  ["forget", { id: "three" }, Code.NotFound, 'id: there is no node "three"'],
  ["forget", {}, Code.InvalidArgument, "id: is missing: say which node"],
  [
    "listNodes",
    { pageSize: -1 },
    Code.InvalidArgument,
    "page_size: must not be negative, got -1",
  ],
  ["getNode", {}, Code.InvalidArgument, "id: is missing: say which node"],
  [
    "listNodes",
    { workspace: "w" },
    Code.NotFound,
    'workspace: there is no workspace "w": see "holdfast workspace list", or create it with "holdfast workspace create"',
  ],
] as const)("%s of %j is refused", async (method, request, code, message) => {
  const error = ConnectError.from(
    await server.node[method](request).catch((e: unknown) => e),
  );
  expect(error.code).toBe(code);
  expect(error.rawMessage).toBe(message);
});

test.each(PROTOCOLS)(
  "a list that does not fit into one answer is read by %s page by page, each node once",
  async (protocol) => {
    const { nodes } = server.clients(protocol);
    const reason = "x".repeat(10_000);
    for (let i = 0; i < 400; i++)
      server.nodes.set({ id: `n${i}`, hostname: `host-${i % 7}`, reason });
    const seen: string[] = [];
    let pages = 0;
    let pageToken = "";
    do {
      const answer = await nodes.listNodes({ pageToken });
      seen.push(...answer.nodes.map((node) => `${node.hostname} ${node.id}`));
      pageToken = answer.nextPageToken;
      pages++;
    } while (pageToken !== "");
    expect(pages).toBeGreaterThan(1);
    expect(seen).toHaveLength(402);
    expect(seen).toEqual([...new Set(seen)].sort());
  },
);

test("a page has as many nodes as were asked for, and goes on after a node that is gone", async () => {
  server.nodes.set({ id: "zwei", connected: false });
  const first = await server.node.listNodes({ pageSize: 2 });
  expect(first.nodes.map(({ id }) => id)).toEqual(["one", "two"]);
  server.nodes.set({ id: "two", connected: false });
  await server.node.forget({ id: "two" });
  const { nextPageToken: pageToken } = first;
  const second = await server.node.listNodes({ pageSize: 2, pageToken });
  expect(second.nodes.map(({ id }) => id)).toEqual(["zwei"]);
  expect(second.nextPageToken).toBe("");
});

test("upstreams are told page by page, those of one name alone, and a token of another list is refused", async () => {
  server.nodes.upstreams = ["a", "b", "c"].map((upstream) =>
    create(UpstreamHealthSchema, { upstream }),
  );
  const first = await server.node.listUpstreamHealth({ pageSize: 2 });
  expect(first.upstreams.map(({ upstream }) => upstream)).toEqual(["a", "b"]);
  // One that comes in between is not told before the place where the reader is.
  server.nodes.upstreams = ["a", "aa", "b", "c"].map((upstream) =>
    create(UpstreamHealthSchema, { upstream }),
  );
  const pageToken = first.nextPageToken;
  const second = await server.node.listUpstreamHealth({ pageToken });
  expect(second.upstreams.map(({ upstream }) => upstream)).toEqual(["c"]);
  expect(second.nextPageToken).toBe("");
  const one = await server.node.listUpstreamHealth({ upstream: "b" });
  expect(one.upstreams.map(({ upstream }) => upstream)).toEqual(["b"]);
  const nodes = await server.node.listNodes({ pageSize: 1 });
  await expect(
    server.node.listUpstreamHealth({ pageToken: nodes.nextPageToken }),
  ).rejects.toThrow(/page_token/);
});

test("nodes are pinned by id or labels, and what is wrong with the request is said", async () => {
  await server.config.put({
    resource: { kind: { case: "service", value: { name: "a", host: "h" } } },
  });
  server.nodes.set({ id: "one", labels: { zone: "eu" } });
  server.nodes.set({ id: "two", labels: { zone: "eu" } });
  server.nodes.set({ id: "three" });
  const { nodes } = await server.node.pin({
    labels: { zone: "eu" },
    revision: 1n,
  });
  expect(nodes.map(({ id, pinnedRevision }) => [id, pinnedRevision])).toEqual([
    ["one", 1n],
    ["two", 1n],
  ]);
  await server.node.unpin({ id: "two" });
  expect([...server.nodes.pins.keys()]).toEqual(["one"]);
  expect((await server.node.pause({})).revision).toBe(1n);
  expect((await server.node.listNodes({})).pausedRevision).toBe(1n);
  expect((await server.node.resume({})).revision).toBe(1n);
  expect((await server.node.listNodes({})).pausedRevision).toBeUndefined();
  const refused = [
    [{ revision: 1n }, Code.InvalidArgument],
    [{ id: "one" }, Code.InvalidArgument],
    [{ id: "one", labels: { zone: "eu" }, revision: 1n }, Code.InvalidArgument],
    [{ id: "nobody", revision: 1n }, Code.NotFound],
    [{ labels: { zone: "us" }, revision: 1n }, Code.NotFound],
    [{ id: "one", revision: 9n }, Code.NotFound],
  ] as const;
  for (const [request, code] of refused)
    await expect(server.node.pin(request)).rejects.toMatchObject({ code });
});

test("a node is allowed to follow, and forgotten once it is not connected", async () => {
  expect((await server.node.allow({ id: "one" })).node?.id).toBe("one");
  expect(server.nodes.allowed).toEqual(["one"]);
  await expect(server.node.forget({ id: "one" })).rejects.toMatchObject({
    code: Code.FailedPrecondition,
    rawMessage:
      'id: node "one" is connected, and would be back at once: stop it first',
  });
  server.nodes.set({ id: "one", connected: false });
  await server.node.forget({ id: "one" });
  const { nodes } = await server.node.listNodes({});
  expect(nodes.map(({ id }) => id)).toEqual(["two"]);
});

test.each(PROTOCOLS)(
  "a watch by %s tells all nodes and then their changes",
  async (protocol) => {
    const { nodes } = server.clients(protocol);
    const seen: string[] = [];
    await each(
      (options) => nodes.watchNodes({}, options),
      (message) => {
        seen.push(told(message));
        if (seen.length === 2) server.nodes.set({ id: "three", build: "1" });
        if (seen.length === 3) {
          server.nodes.set({ id: "one", build: "2" });
          server.nodes.set({ id: "elsewhere", workspace: "other" });
          server.nodes.remove("two");
        }
        return seen.length === 5;
      },
    );
    expect(seen).toEqual(["one:", "two:", "three:1", "one:2", "-two:"]);
    await eventually(() => server.nodes.listeners === 0, "nobody listens");
  },
);

test("a slow client of a watch gets the newest state of each node, not each state", async () => {
  let seen = 0;
  let last = "";
  await each(
    (options) => server.node.watchNodes({}, options),
    (message) => {
      seen++;
      last = told(message);
      // Within one turn of the event loop nothing can be sent.
      if (seen === 2)
        for (let i = 1; i <= 10_000; i++)
          server.nodes.set({ id: "one", build: String(i) });
      return last === "one:10000";
    },
  );
  expect(seen).toBeLessThan(100);
});

test("a node that is forgotten and comes back is told as it is", async () => {
  const [first] = await take(
    (options) => server.node.watchNodes({}, options),
    1,
  );
  expect(told(first!)).toBe("one:");
  server.nodes.remove("one");
  server.nodes.set({ id: "one", build: "9" });
  const all = await take((options) => server.node.watchNodes({}, options), 2);
  expect(all.map(told)).toEqual(["one:9", "two:"]);
});
