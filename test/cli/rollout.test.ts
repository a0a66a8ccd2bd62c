import { expect, test } from "vitest";
import type {
  PinRequest,
  UnpinRequest,
} from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
import type { WaitForRevisionRequest } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { runCli } from "../support/cli.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

async function plane() {
  const pins: PinRequest[] = [];
  const unpins: UnpinRequest[] = [];
  const waits: WaitForRevisionRequest[] = [];
  const scripted = await scriptedControlPlane({
    config: {
      async *waitForRevision(request) {
        waits.push(request);
        yield await Promise.resolve({
          revision: 5n,
          serving: 1,
          total: 3,
          needed: 2,
          heldBack: true,
          missing: [
            { id: "b", hostname: "edge-2", reason: "pinned to revision 4" },
          ],
        });
      },
    },
    nodes: {
      listNodes: () => ({
        nodes: [{ id: "aaaa-1", hostname: "edge-1", conditions: ["paused"] }],
        pausedRevision: 4n,
      }),
      pin(request) {
        pins.push(request);
        return { nodes: [{ id: "aaaa-1" }] };
      },
      unpin(request) {
        unpins.push(request);
        return { nodes: [{ id: "aaaa-1" }, { id: "aaaa-2" }] };
      },
      pause: () => ({ revision: 4n }),
      resume: () => ({ revision: 5n }),
    },
  });
  return { ...scripted, pins, unpins, waits };
}

test("nodes are pinned by host name, or by labels, and unpinned", async () => {
  await using cp = await plane();
  const at = ["--admin", cp.admin];
  expect(await runCli(["nodes", "pin", "edge-1", "7", ...at])).toEqual({
    code: 0,
    stdout: "node aaaa-1 is pinned to revision 7\n",
    stderr: "",
  });
  expect(
    await runCli(["nodes", "pin", "-l", "zone=eu", "-l", "tier=1", "7", ...at]),
  ).toMatchObject({ code: 0 });
  expect(cp.pins).toMatchObject([
    { id: "aaaa-1", labels: {}, revision: 7n },
    { id: "", labels: { zone: "eu", tier: "1" }, revision: 7n },
  ]);
  expect(
    await runCli(["nodes", "unpin", "-l", "zone=eu", ...at]),
  ).toMatchObject({
    code: 0,
    stdout: "2 nodes (aaaa-1, aaaa-2) are not pinned any more\n",
  });
  expect(cp.unpins).toMatchObject([{ id: "", labels: { zone: "eu" } }]);
  for (const wrong of [
    ["nodes", "pin", "7"],
    ["nodes", "pin", "edge-1", "7", "-l", "a=b"],
    ["nodes", "pin", "edge-1", "soon"],
    ["nodes", "unpin"],
  ])
    expect((await runCli([...wrong, ...at])).code).toBe(2);
});

test("a workspace is paused and resumed, and the node list says so", async () => {
  await using cp = await plane();
  const at = ["--admin", cp.admin];
  expect((await runCli(["pause", ...at])).stdout).toBe(
    "workspace default is paused at revision 4\n",
  );
  const { stdout, stderr } = await runCli(["nodes", ...at]);
  expect(stdout).toContain("paused");
  expect(stderr).toContain("workspace default is paused at revision 4");
  const listed = await runCli(["nodes", "-o", "json", ...at]);
  expect(JSON.parse(listed.stdout)).toMatchObject({ paused_revision: "4" });
  expect((await runCli(["resume", ...at])).stdout).toContain("revision 5");
});

test("a wait for a part of some nodes says how many that is, and ends when they are pinned", async () => {
  await using cp = await plane();
  const run = await runCli([
    "wait",
    "5",
    "--fraction",
    "65%",
    "-l",
    "zone=eu",
    "--admin",
    cp.admin,
  ]);
  expect(run).toMatchObject({
    code: 3,
    stderr: `revision 5 is served by 1 of 3 nodes (2 are enough), nodes are pinned or paused before it. It stays committed. Missing:
  b (edge-2) serves nothing: pinned to revision 4
`,
  });
  expect(cp.waits).toMatchObject([{ fraction: 0.65, labels: { zone: "eu" } }]);
  const bad = await runCli([
    "wait",
    "5",
    "--fraction",
    "2",
    ...["--admin", cp.admin],
  ]);
  expect(bad.code).toBe(2);
});
