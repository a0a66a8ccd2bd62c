import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import {
  NodeSchema,
  NodeService,
} from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { startAdminServer } from "../support/admin-server.ts";
import { runCli } from "../support/cli.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

const NODES: MessageInitShape<typeof NodeSchema>[] = [
  {
    id: "aaaa-1",
    hostname: "edge-1",
    connected: true,
    inSync: true,
    serving: { revision: 12n },
    lastSeen: { seconds: 1_760_000_000n },
  },
  {
    id: "aaaa-2",
    hostname: "edge-2",
    connected: true,
    lastNack: {
      class: "INVALID",
      violations: [{ key: "route/x", field: "paths[0]", reason: "bad" }],
    },
  },
  { id: "bbbb-1", hostname: "edge-2", reason: "disconnected" },
];

async function withNodes(held: readonly string[] = []) {
  const retried: string[] = [];
  const allowed: string[] = [];
  const forgotten: string[] = [];
  const plane = await scriptedControlPlane({
    nodes: {
      // A page each, as when there are many.
      listNodes({ pageToken }) {
        const at = pageToken === "" ? 0 : Number(pageToken);
        const nextPageToken = at + 1 < NODES.length ? String(at + 1) : "";
        const nodes = NODES.slice(at, at + 1).map((node) =>
          held.includes(node.id ?? "")
            ? { ...node, conditions: ["held"] }
            : node,
        );
        return { nodes, nextPageToken };
      },
      retry({ id }) {
        retried.push(id);
        return { node: { id, connected: true } };
      },
      allow({ id }) {
        allowed.push(id);
        return { node: { id, connected: true } };
      },
      forget({ id }) {
        forgotten.push(id);
        return {};
      },
    },
  });
  return { ...plane, retried, allowed, forgotten };
}

test("the table says what each node serves and why not the newest", async () => {
  await using plane = await withNodes();
  const { code, stdout } = await runCli(["nodes", "--admin", plane.admin]);
  expect(code).toBe(0);
  expect(stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
    [
      "ID",
      "HOSTNAME",
      "CONNECTED",
      "REVISION",
      "IN SYNC",
      "LAST SEEN",
      "REASON",
    ],
    ["aaaa-1", "edge-1", "yes", "12", "yes", "2025-10-09 08:53:20Z"],
    [
      "aaaa-2",
      "edge-2",
      "yes",
      "none",
      "no",
      "INVALID: route/x: paths[0]: bad",
    ],
    ["bbbb-1", "edge-2", "no", "none", "no", "disconnected"],
    [""],
  ]);
});

test("-o json and -o yaml print the answer of the RPC", async () => {
  await using plane = await withNodes();
  const asJson = await runCli(["nodes", "-o", "json", "--admin", plane.admin]);
  expect(JSON.parse(asJson.stdout)).toMatchObject({
    nodes: [
      { id: "aaaa-1", in_sync: true, serving: { revision: "12" } },
      { id: "aaaa-2", last_nack: { class: "INVALID" } },
      { id: "bbbb-1" },
    ],
  });
  const asYaml = await runCli(["nodes", "-o", "yaml", "--admin", plane.admin]);
  expect(asYaml.stdout).toMatch(/^nodes:\n {2}- id: aaaa-1\n/);
});

test.each([
  ["its id", "aaaa-2", "aaaa-2"],
  ["its host name", "edge-1", "aaaa-1"],
  ["the beginning of its id", "bbbb", "bbbb-1"],
])("retry finds a node by %s", async (_what, word, id) => {
  await using plane = await withNodes();
  const { code, stdout } = await runCli([
    "nodes",
    "retry",
    word,
    "--admin",
    plane.admin,
  ]);
  expect(code).toBe(0);
  expect(stdout).toContain(id);
  expect(plane.retried).toEqual([id]);
});

test("allow of a node that is not held says that there is nothing to allow now", async () => {
  await using plane = await withNodes();
  const { code, stdout } = await runCli([
    "nodes",
    "allow",
    "aaaa-2",
    "--admin",
    plane.admin,
  ]);
  expect(code).toBe(0);
  expect(stdout).toBe(
    "node aaaa-2 holds nothing back now, so there is nothing to allow; the permission stays, for this control plane's present epoch\n",
  );
  expect(plane.allowed).toEqual(["aaaa-2"]);
});

test("allow and forget say what was done, or print the node", async () => {
  await using plane = await withNodes(["aaaa-1"]);
  const run = (...argv: string[]) =>
    runCli(["nodes", ...argv, "--admin", plane.admin]);
  expect((await run("allow", "edge-1")).stdout).toBe(
    "node aaaa-1 may follow this control plane, whatever it loses by that\n",
  );
  expect((await run("forget", "bbbb-1")).stdout).toBe(
    "node bbbb-1 is forgotten\n",
  );
  const asJson = await run("allow", "edge-1", "-o", "json");
  expect(JSON.parse(asJson.stdout)).toMatchObject({ id: "aaaa-1" });
  expect(plane.allowed).toEqual(["aaaa-1", "aaaa-1"]);
  expect(plane.forgotten).toEqual(["bbbb-1"]);
});

test("conditions, progress and certificates that expire are shown when there are any", async () => {
  const day = 24n * 60n * 60n;
  const now = BigInt(Math.floor(Date.now() / 1000));
  const certificate = (days: bigint) => ({
    expiresAt: { seconds: now + days * day },
  });
  await using plane = await scriptedControlPlane({
    nodes: {
      listNodes: () => ({
        nodes: [
          {
            id: "a",
            hostname: "edge-1",
            connected: true,
            conditions: ["forked", "regressed"],
            certificate: certificate(29n),
          },
          {
            id: "b",
            hostname: "edge-2",
            connected: true,
            reason: "applying",
            progress: { revision: 13n, step: "verify", done: 4n, total: 10n },
            certificate: certificate(-1n),
          },
          {
            id: "c",
            hostname: "edge-3",
            connected: true,
            certificate: certificate(31n),
          },
          // It may be gone for good.
          { id: "d", hostname: "edge-4", certificate: certificate(1n) },
        ],
      }),
    },
  });
  const { stdout, stderr } = await runCli(["nodes", "--admin", plane.admin]);
  expect(stdout).toMatch(/IN SYNC {2}CONDITION +LAST SEEN/);
  expect(stdout).toContain("  forked,regressed");
  expect(stdout).toContain("applying; revision 13: verify 40 %");
  expect(stderr).toMatch(
    /^the certificates of 2 nodes expire within 30 days: b \(.*\), a \(.*\)\n$/,
  );
});

test.each([
  ["edge-2", '"edge-2" may be any of aaaa-2, bbbb-1: give the id'],
  [
    "edge-9",
    'there is no node "edge-9" in workspace "default". Did you mean edge-1?',
  ],
])("retry %s retries none", async (word, message) => {
  await using plane = await withNodes();
  const { code, stderr } = await runCli([
    "nodes",
    "retry",
    word,
    "--admin",
    plane.admin,
  ]);
  expect(code).toBe(1);
  expect(stderr).toContain(message);
  expect(plane.retried).toEqual([]);
});

test("ten thousand nodes are listed, and one of them found", async () => {
  await using stack = new CloseStack();
  const { nodes, url } = await startAdminServer(stack);
  const labels = { region: "eu-central-1", zone: "eu-central-1a" };
  for (let i = 0; i < 10_000; i++)
    nodes.set({
      id: `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`,
      hostname: `edge-${i}.${"x".repeat(200)}.example`,
      labels,
      reason: "x".repeat(200),
    });
  // More than one answer may hold.
  const listed = await createClient(
    NodeService,
    createConnectTransport({ baseUrl: url, httpVersion: "1.1" }),
  ).listNodes({});
  expect(listed.nextPageToken).not.toBe("");
  const run = (...argv: string[]) => runCli(["nodes", ...argv, "--admin", url]);
  const asTable = await run();
  expect([asTable.code, asTable.stderr]).toEqual([0, ""]);
  expect(asTable.stdout.split("\n")).toHaveLength(10_002);
  const asJson = await run("-o", "json");
  const all = JSON.parse(asJson.stdout) as { nodes: { id: string }[] };
  expect(new Set(all.nodes.map(({ id }) => id)).size).toBe(10_000);
  const id = "00000000-0000-4000-8000-000000009999";
  expect((await run("allow", id)).stdout).toContain(
    `node ${id} holds nothing back now`,
  );
  expect(nodes.allowed).toEqual([id]);
}, 60_000);
