import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { NodeSchema } from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
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

async function withNodes() {
  const retried: string[] = [];
  const plane = await scriptedControlPlane({
    nodes: {
      listNodes: () => ({ nodes: NODES }),
      retry({ id }) {
        retried.push(id);
        return { node: { id, connected: true } };
      },
    },
  });
  return { ...plane, retried };
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
