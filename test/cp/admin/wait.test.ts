import { Code, ConnectError } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { WaitForRevisionResponse } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";

let stack: CloseStack;
let server: AdminServer;
let clock: ManualClock;
beforeEach(async () => {
  stack = new CloseStack();
  clock = new ManualClock();
  server = await startAdminServer(stack, { clock });
  for (const name of ["a", "b"])
    await server.config.put({
      resource: {
        kind: { case: "service", value: { name, host: "h.internal" } },
      },
    });
});
afterEach(async () => {
  const closing = stack.close();
  // The listener's grace is by this clock too.
  clock.advance(10_000);
  await closing;
});

/** A wait that is running: what it has told so far, and when it ends. */
function wait(
  request: Parameters<AdminServer["config"]["waitForRevision"]>[0],
): {
  told: WaitForRevisionResponse[];
  ended: Promise<WaitForRevisionResponse>;
} {
  const told: WaitForRevisionResponse[] = [];
  const ended = (async () => {
    for await (const answer of server.config.waitForRevision(request))
      told.push(answer);
    return told.at(-1)!;
  })();
  return { told, ended };
}

async function until(condition: () => boolean): Promise<void> {
  await eventually(condition, condition.toString());
}

test("with no node there is nothing to wait for", async () => {
  const { told, ended } = wait({});
  expect(await ended).toMatchObject({
    revision: 2n,
    done: true,
    serving: 0,
    total: 0,
    timedOut: false,
  });
  expect(told).toHaveLength(1);
});

test("a wait ends when all nodes serve the revision, and tells the way there", async () => {
  server.nodes.serve("one", 2n);
  server.nodes.set({ id: "two", reason: "is applying revision 2" });
  const { told, ended } = wait({ revision: 2n });
  await until(() => told.length === 1);
  expect(told[0]).toMatchObject({
    done: false,
    serving: 1,
    total: 2,
    missing: [{ id: "two", hostname: "two", reason: "is applying revision 2" }],
  });
  // Also a node that joins meanwhile counts.
  server.nodes.serve("three", 1n);
  clock.advance(200);
  await until(() => told.length === 2);
  expect(told[1]).toMatchObject({ serving: 1, total: 3 });
  server.nodes.serve("two", 2n);
  server.nodes.serve("three", 3n);
  expect(await ended).toMatchObject({ done: true, serving: 3, total: 3 });
  await until(() => server.nodes.listeners === 0);
});

test("a wait for an older revision is done by nodes that are further", async () => {
  server.nodes.serve("one", 2n);
  expect(await wait({ revision: 1n }).ended).toMatchObject({
    done: true,
    revision: 1n,
  });
});

test("a wait ends at once when a node refuses", async () => {
  server.nodes.serve("one", 1n);
  const { told, ended } = wait({});
  await until(() => told.length === 1);
  server.nodes.set({
    id: "one",
    reason: 'INVALID: route "x"',
    lastNack: { class: "INVALID" },
  });
  expect(await ended).toMatchObject({
    done: false,
    refused: true,
    timedOut: false,
    missing: [{ id: "one", reason: 'INVALID: route "x"' }],
  });
});

test("a wait ends when time is up, and names who is missing", async () => {
  server.nodes.serve("one", 1n);
  const { told, ended } = wait({ timeout: durationFromMs(5_000) });
  await until(() => told.length === 1);
  const over = new AbortController();
  void ended.then(() => over.abort());
  for (let ms = 0; ms < 4_900; ms += 100) {
    await until(() => clock.timers > 0);
    clock.advance(100);
  }
  expect(over.signal.aborted).toBe(false);
  while (!over.signal.aborted) {
    clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await ended).toMatchObject({
    timedOut: true,
    done: false,
    refused: false,
    missing: [{ id: "one", serving: { revision: 1n } }],
  });
});

test("a part of the nodes is enough when that was asked for, and those that refuse count only when too few are left", async () => {
  for (const id of ["a", "b", "c"]) server.nodes.serve(id, 2n);
  server.nodes.set({ id: "d", lastNack: { class: "INVALID" } });
  const most = await wait({ revision: 2n, fraction: 0.75 }).ended;
  expect(most).toMatchObject({ done: true, serving: 3, needed: 3, total: 4 });
  expect(most.missing).toMatchObject([{ id: "d" }]);
  const all = await wait({ revision: 2n, fraction: 0.76 }).ended;
  expect(all).toMatchObject({ done: false, refused: true, needed: 4 });
  // However small, a part of some nodes is a node.
  expect(await wait({ revision: 2n, fraction: 1e-12 }).ended).toMatchObject({
    needed: 1,
  });
  await expect(wait({ fraction: 1.5 }).ended).rejects.toMatchObject({
    code: Code.InvalidArgument,
  });
});

test("a wait ends at once when nodes are pinned or paused before the revision, and only nodes with the labels count", async () => {
  server.nodes.set({ id: "n", labels: { zone: "eu" } });
  server.nodes.serve("free", 2n);
  await server.node.pin({ id: "n", revision: 1n });
  expect(await wait({ revision: 2n }).ended).toMatchObject({
    done: false,
    refused: false,
    heldBack: true,
    timedOut: false,
    missing: [{ id: "n" }],
  });
  expect(
    await wait({ revision: 2n, labels: { zone: "us" } }).ended,
  ).toMatchObject({ done: true, total: 0 });
  await server.node.unpin({ labels: { zone: "eu" } });
  await server.node.pause({});
  expect(
    await wait({ revision: 2n, labels: { zone: "eu" } }).ended,
  ).toMatchObject({ heldBack: true, total: 1 });
});

test("a timeout of zero tells how it is now", async () => {
  server.nodes.serve("one", 1n);
  const { told, ended } = wait({ timeout: durationFromMs(0) });
  expect(await ended).toMatchObject({ timedOut: true, total: 1 });
  expect(told).toHaveLength(1);
});

test("a node that stops counting by time alone is noticed", async () => {
  server.nodes.serve("one", 2n);
  server.nodes.set({ id: "gone" });
  const { told, ended } = wait({});
  await until(() => told.length === 1 && clock.timers > 0);
  // Without telling anybody, as the minute after a disconnect ends.
  server.nodes.get("default", "gone")!.connected = false;
  const over = new AbortController();
  void ended.then(() => over.abort());
  while (!over.signal.aborted) {
    clock.advance(500);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await ended).toMatchObject({ done: true, total: 1 });
});

test("a thousand changes are not a thousand messages", async () => {
  for (let i = 0; i < 50; i++) server.nodes.serve(`n${i}`, 1n);
  const { told, ended } = wait({});
  await until(() => told.length === 1);
  for (let i = 0; i < 49; i++) {
    server.nodes.serve(`n${i}`, 2n);
    clock.advance(10);
    await new Promise((resolve) => setImmediate(resolve));
  }
  server.nodes.serve("n49", 2n);
  expect(await ended).toMatchObject({ done: true, serving: 50 });
  expect(told.length).toBeLessThan(8);
});

test.each([
  [{ revision: 3n }, Code.NotFound, /there is no revision 3; the newest is 2/],
  [
    { timeout: durationFromMs(3_600_001) },
    Code.InvalidArgument,
    /timeout: must be from 0s to 3600s/,
  ],
  [
    { timeout: durationFromMs(-1) },
    Code.InvalidArgument,
    /timeout: must be from 0s/,
  ],
  [{ workspace: "other" }, Code.NotFound, /there is no workspace "other"/],
])(
  "a wait that makes no sense is refused: %#",
  async (request, code, message) => {
    const error: unknown = await wait(request).ended.catch((e: unknown) => e);
    expect(ConnectError.from(error).code).toBe(code);
    expect(ConnectError.from(error).message).toMatch(message);
  },
);
