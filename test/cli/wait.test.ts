import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  WaitForRevisionResponseSchema,
  type WaitForRevisionRequest,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { runCli } from "../support/cli.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

type Answer = MessageInitShape<typeof WaitForRevisionResponseSchema>;

async function waiting(answers: Answer[]) {
  const requests: WaitForRevisionRequest[] = [];
  const plane = await scriptedControlPlane({
    config: {
      apply: () => ({ revision: 5n }),
      async *waitForRevision(request) {
        requests.push(request);
        yield* answers;
      },
    },
  });
  return { ...plane, requests };
}

const missing = [
  {
    id: "node-b",
    hostname: "edge-2",
    serving: { revision: 4n },
    reason: "INVALID: route/6f1c: paths[0]: bad",
  },
];
const half = { revision: 5n, serving: 1, total: 2, missing };

test("all nodes serve it: ends with 0", async () => {
  await using plane = await waiting([
    half,
    { revision: 5n, serving: 2, total: 2, done: true },
  ]);
  const run = await runCli([
    "wait",
    "5",
    "--timeout",
    "1m30s",
    "--admin",
    plane.admin,
  ]);
  expect(run).toEqual({
    code: 0,
    stdout: "",
    stderr: "revision 5 is served by all 2 nodes\n",
  });
  expect(plane.requests).toMatchObject([
    { revision: 5n, timeout: { seconds: 90n } },
  ]);
});

test("no nodes: ends with 0 at once and says so", async () => {
  await using plane = await waiting([{ revision: 5n, done: true }]);
  const { code, stderr } = await runCli(["wait", "5", "--admin", plane.admin]);
  expect(code).toBe(0);
  expect(stderr).toContain("no node is connected");
});

test("time is up: ends with 3, the missing nodes and their reasons", async () => {
  await using plane = await waiting([half, { ...half, timedOut: true }]);
  const { code, stderr } = await runCli(["wait", "5", "--admin", plane.admin]);
  expect(code).toBe(3);
  expect(stderr).toBe(
    "revision 5 is served by 1 of 2 nodes, time is up after 30 s. It stays committed. Missing:\n" +
      "  node-b (edge-2) serves revision 4: INVALID: route/6f1c: paths[0]: bad\n",
  );
});

test("a node refuses it: ends with 3 without waiting for more", async () => {
  await using plane = await waiting([
    { ...half, refused: true },
    { revision: 5n, done: true },
  ]);
  const { code, stderr } = await runCli(["wait", "5", "--admin", plane.admin]);
  expect(code).toBe(3);
  expect(stderr).toContain("a node refuses it");
});

test("on a terminal it shows how far it is, and takes that away in the end", async () => {
  await using plane = await waiting([
    half,
    { revision: 5n, serving: 2, total: 2, done: true },
  ]);
  const { stderr } = await runCli(["wait", "5", "--admin", plane.admin], {
    terminal: true,
  });
  expect(stderr).toMatch(
    /^\rrevision 5: 1 of 2 nodes serve it\r +\rrevision 5 is/,
  );
});

test("-o json prints the last answer", async () => {
  await using plane = await waiting([{ ...half, timedOut: true }]);
  const { code, stdout } = await runCli([
    "wait",
    "5",
    "-o",
    "json",
    "--admin",
    plane.admin,
  ]);
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({
    revision: "5",
    timed_out: true,
    missing: [{ id: "node-b", serving: { revision: "4" } }],
  });
});

test("apply --wait waits for the revision it made, and its stdout stays one document", async () => {
  await using plane = await waiting([{ ...half, refused: true }]);
  const { code, stdout, stderr } = await runCli(
    ["apply", "-f", "-", "--wait", "10s", "-o", "json", "--admin", plane.admin],
    { stdin: "x" },
  );
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toEqual({ revision: "5" });
  expect(stderr).toContain("It stays committed. Missing:\n  node-b");
  expect(plane.requests).toMatchObject([
    { revision: 5n, timeout: { seconds: 10n } },
  ]);
});

test("a wait that ends without a result fails", async () => {
  await using plane = await waiting([half]);
  const { code, stderr } = await runCli(["wait", "5", "--admin", plane.admin]);
  expect(code).toBe(1);
  expect(stderr).toContain("ended the wait without a result");
});

test("a control plane that goes away meanwhile fails the wait with 1", async () => {
  await using plane = await scriptedControlPlane({
    config: {
      async *waitForRevision() {
        yield half;
        plane.cut();
        throw new ConnectError("gone", Code.Unavailable);
      },
    },
  });
  const { code, stderr } = await runCli(["wait", "5", "--admin", plane.admin]);
  expect(code).toBe(1);
  expect(stderr).toContain(
    `cannot reach the control plane at ${plane.admin}: the connection was cut`,
  );
});
