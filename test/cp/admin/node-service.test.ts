import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { WatchNodesResponse } from "../../../src/gen/holdfast/admin/v1/node_service_pb.js";
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
  ["getNode", {}, Code.InvalidArgument, "id: is missing: say which node"],
  [
    "listNodes",
    { workspace: "w" },
    Code.NotFound,
    'workspace: there is no workspace "w", only "default"',
  ],
] as const)("%s of %j is refused", async (method, request, code, message) => {
  const error = ConnectError.from(
    await server.node[method](request).catch((e: unknown) => e),
  );
  expect(error.code).toBe(code);
  expect(error.rawMessage).toBe(message);
});

test("a list that does not fit into one answer says how to get it", async () => {
  const reason = "x".repeat(10_000);
  for (let i = 0; i < 400; i++) server.nodes.set({ id: `n${i}`, reason });
  await expect(server.node.listNodes({})).rejects.toMatchObject({
    code: Code.ResourceExhausted,
    rawMessage: expect.stringMatching(/402 nodes .* WatchNodes/) as string,
  });
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
          server.nodes.forget("two");
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
  server.nodes.forget("one");
  server.nodes.set({ id: "one", build: "9" });
  const all = await take((options) => server.node.watchNodes({}, options), 2);
  expect(all.map(told)).toEqual(["two:", "one:9"]);
});
