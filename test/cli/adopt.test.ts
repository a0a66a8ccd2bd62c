import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { NodeSchema } from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
import { runCli } from "../support/cli.ts";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

const HEAD = { epoch: "old", revision: 12n, root: "ab".repeat(32) };

async function withForked(nodes: MessageInitShape<typeof NodeSchema>[]) {
  const adopted: string[] = [];
  const plane = await scriptedControlPlane({
    config: {
      async *watch() {
        yield { event: { case: "heartbeat", value: HEAD } };
        await new Promise(() => {});
      },
      adopt({ epoch }) {
        adopted.push(epoch);
        return { cursor: { ...HEAD, epoch: "new" }, predecessors: ["old"] };
      },
    },
    nodes: { listNodes: () => ({ nodes }) },
  });
  const run = (argv: string[], stdin = "", terminal = true) =>
    runCli(["adopt", "--admin", plane.admin, ...argv], { stdin, terminal });
  return { ...plane, adopted, run };
}

const FORKED = {
  id: "aaaa-1",
  hostname: "edge-1",
  conditions: ["forked"],
  serving: { epoch: "old", revision: 14n, root: "cd".repeat(32) },
};

test("shows which nodes are forked and what becomes of them, and asks", async () => {
  await using plane = await withForked([
    FORKED,
    { id: "aaaa-2", hostname: "edge-2" },
  ]);
  const { code, stdout, stderr } = await plane.run([], "y\n");
  expect(stderr).toContain("this control plane is at revision 12 ");
  expect(stderr).toContain("1 node is forked: it serves a state");
  expect(stderr).toContain("  aaaa-1 (edge-1) serves revision 14 ");
  expect(stderr).not.toContain("edge-2");
  expect(code).toBe(0);
  expect(stdout).toContain("replaces epoch old");
  // What was shown, and no other.
  expect(plane.adopted).toEqual(["old"]);
});

test.each([
  ["no", "n\n", true, "not confirmed, nothing was changed"],
  ["without a terminal", "", false, "--yes answers yes"],
])("%s: nothing is changed", async (_what, stdin, terminal, message) => {
  await using plane = await withForked([FORKED]);
  const { code, stderr } = await plane.run([], stdin, terminal);
  expect(code).toBe(1);
  expect(stderr).toContain(message);
  expect(plane.adopted).toEqual([]);
});

test("says that nothing is forked before it asks, and names the first of many", async () => {
  await using none = await withForked([]);
  expect((await none.run([], "n\n")).stderr).toContain("no node is forked now");
  await using many = await withForked(
    Array.from({ length: 25 }, (_, i) => ({ ...FORKED, id: `n${i}` })),
  );
  const { stderr } = await many.run([], "n\n");
  expect(stderr).toContain("25 nodes are forked");
  expect(stderr).toContain("  and 5 more\n");
});

test("on a real control plane --yes is enough, and -o json prints the answer", async () => {
  await using plane = await CliControlPlane.start();
  const answer = (await plane.json("adopt", "--yes")) as {
    cursor: { epoch: string };
    predecessors: string[];
  };
  const again = (await plane.json("adopt", "--yes")) as typeof answer;
  expect(again.predecessors).toEqual([
    ...answer.predecessors,
    answer.cursor.epoch,
  ]);
});
