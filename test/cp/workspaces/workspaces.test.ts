import { Level } from "level";
import { expect, test } from "vitest";
import { controlPlaneStatus } from "../../../src/cp/control-plane-status.ts";
import { GoodbyeReason } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { Snapshot } from "../../../src/model/snapshot.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { FailingStore } from "../../support/failing-store.ts";
import { service } from "../../support/link-harness.ts";
import { refusal } from "../../support/open-catalog.ts";
import { openWorkspaces } from "../../support/open-workspaces.ts";
import { PuppetNode } from "../../support/sync-peers.ts";

const put = (name: string) => [
  { type: "put" as const, resource: service(name) },
];
const note = { author: "ann", message: "" };

test("each workspace has a history, an epoch and a root of its own, and a copy begins with the content of another", async () => {
  const first = await openWorkspaces();
  const { workspaces } = first;
  const { catalog } = workspaces.get("default");
  await catalog.transact(put("a"));
  await catalog.transact(put("b"));
  const empty = await workspaces.create("empty");
  const copy = await workspaces.copy("default", "copy", note);

  expect(empty.catalog.head.cursor.revision).toBe(0n);
  const { cursor, snapshot } = copy.catalog.head;
  expect(cursor.revision).toBe(1n);
  expect(snapshot.entryCount).toBe(2);
  expect([...snapshot.entries()]).toEqual([...catalog.head.snapshot.entries()]);
  expect(cursor.root).not.toBe(catalog.head.cursor.root);
  expect(cursor.root).toBe(
    Snapshot.ofBuckets("copy", [...snapshot.buckets()]).root,
  );
  const epochs = workspaces
    .list()
    .map((one) => workspaces.get(one.name).catalog.head.cursor.epoch);
  expect(new Set(epochs).size).toBe(3);
  const { revisions } = await copy.catalog.history();
  expect(revisions).toMatchObject([
    {
      author: "ann",
      message: expect.stringContaining(
        'copied from workspace "default"',
      ) as string,
    },
  ]);

  // What is changed in one is not changed in another, and all are there again after a restart.
  await copy.catalog.transact(put("c"));
  await empty.catalog.transact(put("only"));
  expect(catalog.head.snapshot.entryCount).toBe(2);
  const heads = workspaces
    .list()
    .map(({ name }) => workspaces.get(name).catalog.head.cursor);
  await first.close();
  const again = await openWorkspaces({ directory: first.directory });
  expect(again.workspaces.list().map(({ name }) => name)).toEqual([
    "copy",
    "default",
    "empty",
  ]);
  expect(
    again.workspaces
      .list()
      .map(({ name }) => again.workspaces.get(name).catalog.head.cursor),
  ).toEqual(heads);
});

test("what cannot be done with a workspace is refused by name", async () => {
  const { workspaces } = await openWorkspaces();
  const full = await workspaces.create("full");
  await full.catalog.transact(put("a"));
  const refused = async (promise: Promise<unknown>) => {
    const { code, violations } = await refusal(promise);
    return `${code}${violations.join()}`;
  };
  expect(await refused(workspaces.create("full"))).toMatch(
    /^already_exists.*there is a workspace "full" already/,
  );
  expect(await refused(workspaces.copy("default", "full", note))).toMatch(
    /^already_exists/,
  );
  expect(await refused(workspaces.copy("nowhere", "x", note))).toMatch(
    /^not_found.*"nowhere".*holdfast workspace create/,
  );
  expect(await refused(workspaces.delete("nowhere", { force: true }))).toMatch(
    /^not_found/,
  );
  expect(await refused(workspaces.delete("full", { force: false }))).toMatch(
    /^failed_precondition.*"full" has 1 resource/,
  );
  expect(await refused(workspaces.delete("default", { force: true }))).toMatch(
    /^failed_precondition.*"default" cannot be deleted/,
  );
  expect(workspaces.list().map(({ name }) => name)).toEqual([
    "default",
    "full",
  ]);
  // A refused deletion leaves it as it was.
  await full.catalog.transact(put("b"));
});

test("a stream goes to the workspace of its Hello; deleting one tells its nodes so, and no others", async () => {
  const { workspaces, sync, metrics } = await openWorkspaces();
  const staging = await workspaces.create("staging");
  await staging.catalog.transact(put("s"));
  using here = new PuppetNode(sync).greet("n");
  // The same id: another workspace's nodes are others.
  using there = new PuppetNode(sync).greet("n", { workspace: "staging" });
  expect((await here.heard("manifest")).cursor).toEqual(
    workspaces.get("default").catalog.head.cursor,
  );
  expect((await there.heard("manifest")).cursor).toEqual(
    staging.catalog.head.cursor,
  );
  expect(await metrics.metrics()).toContain(
    'holdfast_cp_nodes_connected{workspace="staging"} 1',
  );

  const { deleted } = staging;
  await workspaces.delete("staging", { force: true });
  expect(deleted.aborted).toBe(true);
  expect(await there.heard("goodbye")).toMatchObject({
    reason: GoodbyeReason.NOT_FOUND,
    message: expect.stringContaining(
      'workspace "staging" was deleted',
    ) as string,
    retryAfter: { seconds: 300n },
  });
  using late = new PuppetNode(sync).greet("m", { workspace: "staging" });
  expect((await late.heard("goodbye")).message).toContain(
    'there is no workspace "staging"',
  );
  expect(here.ended).toBeUndefined();
  expect(await refusal(staging.catalog.transact(put("x")))).toMatchObject({
    code: "not_found",
  });
  expect(await metrics.metrics()).not.toContain("staging");
});

test("a name is free again after a deletion, and nothing of what was there is in the new one", async () => {
  const { workspaces, directory, close } = await openWorkspaces();
  const first = await workspaces.create("x");
  await first.catalog.transact(put("a"));
  const { epoch } = first.catalog.head.cursor;
  await workspaces.delete("x", { force: true });
  const second = await workspaces.create("x");
  expect(second.catalog.head.cursor).toMatchObject({ revision: 0n });
  expect(second.catalog.head.cursor.epoch).not.toBe(epoch);
  expect((await second.catalog.history()).revisions).toEqual([]);
  await workspaces.delete("x", { force: false });
  await close();
  expect(
    await keysOf(directory, (key) => /^(?:x|\.removed)\//.test(key)),
  ).toEqual([]);
});

test("one with a damaged history is unavailable with the reason, and does not keep the others from being served", async () => {
  const first = await openWorkspaces();
  await first.workspaces.create("bad");
  await first.workspaces.create("good");
  for (const name of ["bad", "good"])
    await first.workspaces.get(name).catalog.transact(put(name));
  await first.close();
  await edit(first.directory, (database) =>
    database.put("bad/entry/service/x", "y"),
  );

  const { workspaces, sync, metrics, logger, directory, close } =
    await openWorkspaces({ directory: first.directory });
  await workspaces.get("good").catalog.transact(put("more"));
  expect(() => workspaces.get("bad")).toThrow(
    /workspace "bad" cannot be served: the store in .* is damaged/,
  );
  expect(workspaces.describe("bad")).toMatchObject({
    name: "bad",
    reason: expect.stringContaining("is damaged") as string,
  });
  expect(
    logger.lines.some(({ event }) => event === "workspace.unavailable"),
  ).toBe(true);
  expect(await metrics.metrics()).toContain(
    'holdfast_cp_workspace_available{workspace="bad"} 0',
  );
  const status = controlPlaneStatus({
    workspaces,
    clock: systemClock,
    build: "test",
  });
  expect(status.notReady()).toBeUndefined();
  expect(status.readyBut?.()).toEqual([
    "1 workspace cannot be served: /status says which and why",
  ]);
  expect(status.status()).toMatchObject({
    workspaces: [
      {
        workspace: "bad",
        unavailable: expect.stringContaining("is damaged") as string,
      },
      { workspace: "default", entries: 0 },
      {
        workspace: "good",
        head: { revision: "2" },
        nodes: { known: 0, conditions: {} },
      },
    ],
  });
  using node = new PuppetNode(sync).greet("n", { workspace: "bad" });
  expect(await node.heard("goodbye")).toMatchObject({
    reason: GoodbyeReason.UNAVAILABLE,
    retryAfter: { seconds: 300n },
  });
  // Only by force: nobody knows what it has.
  expect((await refusal(workspaces.delete("bad", { force: false }))).code).toBe(
    "failed_precondition",
  );
  await workspaces.delete("bad", { force: true });
  await workspaces.create("bad");
  expect(workspaces.get("bad").catalog.head.snapshot.entryCount).toBe(0);
  await close();

  // The only one there is: there is nothing to serve.
  for (const name of ["bad", "good", "default"])
    await edit(directory, (database) =>
      database.put(`${name}/entry/service/x`, "y"),
    );
  await expect(openWorkspaces({ directory })).rejects.toThrow(/is damaged/);
});

test("a deletion that failed and was written all the same is found out by the next", async () => {
  const stores: FailingStore[] = [];
  const { workspaces } = await openWorkspaces({
    wrap: (store) => {
      const failing = new FailingStore(store);
      stores.push(failing);
      return failing;
    },
  });
  const { catalog } = await workspaces.create("x");
  await catalog.transact(put("a"));
  stores[0]?.failures.push("lost");
  await expect(workspaces.delete("x", { force: true })).rejects.toThrow(
    "the disk has failed",
  );
  await catalog.transact(put("b"));
  stores[0]?.failures.push("written");
  await expect(workspaces.delete("x", { force: true })).rejects.toThrow(
    "the disk has failed",
  );
  expect((await refusal(catalog.transact(put("c")))).code).toBe("not_found");
  await workspaces.delete("x", { force: true });
  expect(workspaces.list().map(({ name }) => name)).toEqual(["default"]);
});

test("nodes of one workspace hear of a change while another's store is slow", async () => {
  const stores: FailingStore[] = [];
  const { workspaces, sync } = await openWorkspaces({
    wrap: (store) => {
      const failing = new FailingStore(store);
      stores.push(failing);
      return failing;
    },
  });
  await workspaces.create("other");
  using node = new PuppetNode(sync).greet("n", { workspace: "other" });
  await node.heard("manifest");
  const { catalog } = workspaces.get("default");
  // A flood of transactions waits in the one, as a batch each time.
  const flood = Array.from({ length: 200 }, (_, i) =>
    catalog.transact(put(`f${i}`)),
  );
  const { catalog: other } = workspaces.get("other");
  await other.transact(put("o"));
  // Its turn came after a batch of the flood at most, not after all of it.
  expect(catalog.head.cursor.revision).toBeLessThan(200n);
  await eventually(
    () => workspaces.get("other").nodes.get("other", "n")?.connected,
    "the node",
  );
  await Promise.all(flood);
  expect(stores[0]?.groups.length).toBeGreaterThan(3);
});

async function edit(
  directory: string,
  change: (database: Level) => Promise<unknown>,
): Promise<void> {
  const database = new Level(directory);
  await change(database);
  await database.close();
}

async function keysOf(
  directory: string,
  matches: (key: string) => boolean,
): Promise<string[]> {
  const database = new Level(directory);
  const keys = await database.keys().all();
  await database.close();
  return keys.filter(matches);
}
