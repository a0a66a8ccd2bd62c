import { expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { service } from "../../support/link-harness.ts";
import {
  openWorkspaces,
  type OpenedWorkspaces,
} from "../../support/open-workspaces.ts";
import { PuppetNode } from "../../support/sync-peers.ts";

const keep = { revisions: 4 };

async function write(
  { workspaces }: OpenedWorkspaces,
  times: number,
): Promise<void> {
  const { catalog } = workspaces.get("default");
  for (let i = 0; i < times; i++) {
    const port = Number(catalog.head.cursor.revision) + 1;
    await catalog.transact([{ type: "put", resource: service("a", port) }]);
  }
}

/** Waits until nothing older than a revision is left of the history. */
async function begins(
  { workspaces }: OpenedWorkspaces,
  revision: bigint,
): Promise<void> {
  const { catalog } = workspaces.get("default");
  await eventually(
    async () => (await catalog.oldest()) === revision || undefined,
    `a history from revision ${revision} on`,
  );
}

test("what nodes are kept at is sent to an empty one after a restart, however little history is kept, until they are let go", async () => {
  const first = await openWorkspaces({ keep });
  await write(first, 3);
  const { catalog, nodes } = first.workspaces.get("default");
  const at3 = catalog.head.cursor;
  expect(await nodes.pause("default")).toBe(3n);
  // More than the states that are kept in memory.
  await write(first, 80);
  await begins(first, 3n);
  await first.close();

  const { directory } = first;
  const again = await openWorkspaces({ directory, keep });
  await write(again, 5);
  await begins(again, 3n);
  using node = new PuppetNode(again.sync).greet("empty");
  expect((await node.heard("manifest")).cursor).toEqual(at3);
  expect(again.logger.events).not.toContain("rollout.unreachable");

  // A pin that begins meanwhile keeps its own, and the pause nothing any more.
  const { nodes: present } = again.workspaces.get("default");
  await present.pin("default", ["other"], 50n);
  await present.resume("default");
  await write(again, 5);
  await begins(again, 50n);
  await present.unpin("default", ["other"]);
  await write(again, 5);
  await begins(again, 95n);
});
