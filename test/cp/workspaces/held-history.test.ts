import { describe, expect, test } from "vitest";
import type { HoldRecord, Superfluous } from "../../../src/cp/store/store.ts";
import { eventually } from "../../support/eventually.ts";
import { FailingStore } from "../../support/failing-store.ts";
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

test("a store has one control plane at a time, so nobody changes a pin or a pause behind another's back; who takes over holds both", async () => {
  const first = await openWorkspaces();
  await write(first, 1);
  const { directory } = first;
  await expect(openWorkspaces({ directory })).rejects.toThrow(
    "in use by another process",
  );
  const { nodes } = first.workspaces.get("default");
  await nodes.pin("default", ["n"], 1n);
  await nodes.pause("default");
  await first.close();
  const second = await openWorkspaces({ directory });
  const { nodes: held } = second.workspaces.get("default");
  expect(held.isPinned("default", "n")).toBe(true);
  expect(held.pausedAt("default")).toBe(1n);
});

/** A store during whose steps something else happens, once. */
class OrderedStore extends FailingStore {
  /** Once it was said that the first record may go, and before it is removed. */
  beforeForgetting: (() => void) | undefined;
  /** After the state of a pin was read, and before the pin is written. */
  beforeHolding: (() => Promise<unknown>) | undefined;

  override compact(
    workspace: string,
    superfluous: Superfluous,
  ): Promise<number> {
    return super.compact(workspace, {
      ...superfluous,
      keepFrom: () => {
        const kept = superfluous.keepFrom?.();
        if (superfluous.before > 1n) {
          const first = this.beforeForgetting;
          this.beforeForgetting = undefined;
          first?.();
        }
        return kept;
      },
    });
  }

  override async saveHolds(
    workspace: string,
    put: readonly HoldRecord[],
    remove: readonly (string | undefined)[],
  ): Promise<void> {
    const first = this.beforeHolding;
    this.beforeHolding = undefined;
    await first?.();
    await super.saveHolds(workspace, put, remove);
  }
}

async function openOrdered(): Promise<
  OpenedWorkspaces & { readonly store: OrderedStore }
> {
  const made: { store?: OrderedStore } = {};
  const opened = await openWorkspaces({
    keep,
    wrap: (store) => (made.store = new OrderedStore(store)),
  });
  const { store } = made;
  if (store === undefined) throw new Error("no store was wrapped");
  return { ...opened, store };
}

describe("a pin that begins while history is being forgotten", () => {
  test("keeps what it needs from a step that is under way", async () => {
    const opened = await openOrdered();
    await write(opened, 4);
    const { nodes } = opened.workspaces.get("default");
    const pinned = new Promise<void>((resolve, reject) => {
      opened.store.beforeForgetting = () => {
        nodes.pin("default", ["n"], 1n).then(resolve, reject);
      };
    });
    await write(opened, 3);
    await pinned;
    await write(opened, 3);
    await begins(opened, 1n);
    await opened.close();
    const { directory } = opened;
    const again = await openWorkspaces({ directory, keep });
    using node = new PuppetNode(again.sync).greet("n");
    expect((await node.heard("manifest")).cursor?.revision).toBe(1n);
  });

  test("is refused, and not written, when what it needs went before it was written", async () => {
    const opened = await openOrdered();
    await write(opened, 4);
    const { nodes } = opened.workspaces.get("default");
    opened.store.beforeHolding = () =>
      opened.store.compact("default", { before: 3n, limit: 10 });
    await expect(nodes.pin("default", ["n"], 1n)).rejects.toMatchObject({
      code: "out_of_range",
      message: expect.stringContaining(
        "revision 1 is not kept any more: the oldest that is kept is revision 3",
      ) as string,
    });
    expect(await opened.store.loadHolds("default")).toEqual([]);
    expect(nodes.isPinned("default", "n")).toBe(false);
  });
});
