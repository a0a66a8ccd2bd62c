import { describe, expect, test } from "vitest";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { GoodbyeReason } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { eventually } from "../../support/eventually.ts";
import { service, TestControlPlane } from "../../support/link-harness.ts";
import { PuppetNode } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

async function withControlPlane(
  revisions: number,
  run: (cp: TestControlPlane, dir: TempDir) => Promise<void>,
): Promise<void> {
  await using dir = await TempDir.make();
  await using cp = await TestControlPlane.start(dir);
  for (let at = 1; at <= revisions; at++) await cp.put(service("a", at));
  await run(cp, dir);
}

/** A node that serves the first thing it is sent. */
async function joined(
  cp: TestControlPlane,
  id: string,
  have?: Cursor,
): Promise<PuppetNode> {
  const node = new PuppetNode(cp.address).greet(
    id,
    have === undefined ? {} : { have },
  );
  const { seq, cursor } = await node.heard("manifest");
  await takes(cp, node, id, seq, cursor);
  return node;
}

/** The node says that it serves a state, and the control plane has heard it. */
async function takes(
  cp: TestControlPlane,
  node: PuppetNode,
  id: string,
  seq: bigint,
  cursor: Cursor | undefined,
): Promise<void> {
  node.send({ case: "ack", value: { seq, cursor } });
  await eventually(
    () => shown(cp, id)?.serving?.revision === cursor?.revision || undefined,
    `node ${id} at revision ${cursor?.revision}`,
  );
}

function shown(cp: TestControlPlane, id: string) {
  return cp.nodes.get("default", id);
}

function sent(node: PuppetNode): readonly (bigint | undefined)[] {
  return node.received.flatMap(({ message }) =>
    message.case === "manifest"
      ? [message.value.cursor?.revision]
      : message.case === "delta"
        ? [message.value.to?.revision]
        : [],
  );
}

describe("a pinned node", () => {
  test("is sent no other revision, says so, and is sent the head once it is unpinned", async () => {
    await withControlPlane(2, async (cp) => {
      using node = await joined(cp, "n");
      using free = await joined(cp, "free");
      await cp.nodes.pin("default", ["n"], 2n);
      expect(shown(cp, "n")).toMatchObject({
        pinnedRevision: 2n,
        conditions: ["pinned"],
        inSync: true,
        reason: "",
      });
      await cp.put(service("a", 3));
      await free.heard("delta");
      expect(sent(node)).toEqual([2n]);
      expect(shown(cp, "n")).toMatchObject({
        wanted: { revision: 2n },
        inSync: false,
        reason: "pinned to revision 2",
      });
      expect(cp.nodes.figures.nodes.conditions).toEqual(
        new Map([["pinned", 1]]),
      );
      expect(cp.nodes.waiting("default", 3n)).toMatchObject({
        total: 2,
        heldBack: 1,
        missing: [{ id: "n", reason: "pinned to revision 2" }, { id: "free" }],
      });
      await cp.nodes.unpin("default", ["n"]);
      expect((await node.heard("delta")).to?.revision).toBe(3n);
      expect(sent(node)).toEqual([2n, 3n]);
      expect(shown(cp, "n")).toMatchObject({ conditions: [] });
      expect(shown(cp, "n")?.pinnedRevision).toBeUndefined();
    });
  });

  test("that is behind is sent exactly its revision, rebuilt from the history when the control plane was restarted", async () => {
    await withControlPlane(2, async (first, dir) => {
      const at2 = first.catalog.head.cursor;
      (await joined(first, "n"))[Symbol.dispose]();
      for (let port = 3; port <= 6; port++) await first.put(service("a", port));
      await first.nodes.pin("default", ["n"], 4n);
      await first[Symbol.asyncDispose]();
      await using cp = await TestControlPlane.start(dir);
      using node = new PuppetNode(cp.address).greet("n", { have: at2 });
      expect((await node.heard("welcome")).head?.revision).toBe(4n);
      const { seq, cursor } = await node.heard("manifest");
      const { revision } = await cp.catalog.revision(4n);
      expect(cursor).toEqual(revision.cursor);
      await takes(cp, node, "n", seq, cursor);
      await cp.put(service("a", 7));
      using free = await joined(cp, "free");
      expect(sent(free)).toEqual([7n]);
      expect(sent(node)).toEqual([4n]);
      expect(shown(cp, "n")).toMatchObject({
        pinnedRevision: 4n,
        reason: "pinned to revision 4",
      });
    });
  });

  test("that is just being sent a later revision is let go, and sent its own when it is back", async () => {
    await withControlPlane(1, async (cp) => {
      const have = cp.catalog.head.cursor;
      await cp.put(service("a", 2));
      await cp.put(service("a", 3));
      using node = new PuppetNode(cp.address).greet("n", { have });
      expect((await node.heard("manifest")).cursor?.revision).toBe(3n);
      await cp.nodes.pin("default", ["n"], 2n);
      expect(await node.heard("goodbye")).toMatchObject({
        reason: GoodbyeReason.PINNED,
        retryAfter: { seconds: 0n, nanos: 0 },
      });
      using again = await joined(cp, "n", have);
      expect(sent(again)).toEqual([2n]);
    });
  });

  test("that turns out to serve a later revision stays there and is told so", async () => {
    await withControlPlane(2, async (cp) => {
      (await joined(cp, "n"))[Symbol.dispose]();
      await cp.nodes.pin("default", ["n"], 2n);
      await cp.put(service("a", 3));
      const have = cp.catalog.head.cursor;
      using node = new PuppetNode(cp.address).greet("n", { have });
      expect((await node.heard("welcome")).head).toEqual(have);
      await eventually(
        () => shown(cp, "n")?.connected === true || undefined,
        "the node",
      );
      using free = await joined(cp, "free");
      await cp.put(service("a", 4));
      await free.heard("delta");
      expect(shown(cp, "n")?.reason).toBe(
        "pinned to revision 2, and past that already: it stays where it is until it is unpinned",
      );
      expect(sent(node)).toEqual([]);
      await cp.nodes.unpin("default", ["n"]);
      expect((await node.heard("manifest")).cursor?.revision).toBe(4n);
    });
  });

  test("is not sent a new epoch, and follows it once it is unpinned", async () => {
    await withControlPlane(2, async (cp) => {
      using node = await joined(cp, "n");
      await cp.nodes.pin("default", ["n"], 2n);
      await cp.catalog.adopt();
      using free = await joined(cp, "free");
      expect(sent(free)).toEqual([2n]);
      expect(sent(node)).toEqual([2n]);
      await cp.put(service("a", 3));
      expect(shown(cp, "n")?.reason).toBe("pinned to revision 2");
      await cp.nodes.unpin("default", ["n"]);
      expect((await node.heard("manifest", 2)).cursor).toEqual(
        cp.catalog.head.cursor,
      );
      await expect(cp.nodes.pin("default", ["n"], 1n)).rejects.toMatchObject({
        code: "failed_precondition",
      });
    });
  });

  test("is not forgotten by itself, and its pin goes when somebody forgets it", async () => {
    await withControlPlane(2, async (cp) => {
      (await joined(cp, "n"))[Symbol.dispose]();
      await eventually(
        () => shown(cp, "n")?.connected === false || undefined,
        "the end of the stream",
      );
      await cp.nodes.pin("default", ["n"], 2n);
      expect(await cp.nodes.forget("default", "n")).toBe("forgotten");
      await cp.put(service("a", 3));
      using node = await joined(cp, "n");
      expect(sent(node)).toEqual([3n]);
    });
  });

  test("that is back while somebody forgets it follows the head once its pin is gone", async () => {
    await withControlPlane(2, async (cp) => {
      (await joined(cp, "n"))[Symbol.dispose]();
      await eventually(
        () => shown(cp, "n")?.connected === false || undefined,
        "the end of the stream",
      );
      await cp.nodes.pin("default", ["n"], 2n);
      await cp.put(service("a", 3));
      const save = cp.store.saveHolds.bind(cp.store);
      let release = (): void => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      cp.store.saveHolds = async (...holds) => {
        await released;
        return save(...holds);
      };
      const forgetting = cp.nodes.forget("default", "n");
      using node = await joined(cp, "n");
      release();
      expect(await forgetting).toBe("forgotten");
      expect((await node.heard("delta")).to?.revision).toBe(3n);
      expect(sent(node)).toEqual([2n, 3n]);
    });
  });
});

describe("pinning", () => {
  test("is refused as a whole when a node would have to go back, or the history does not have the revision", async () => {
    await withControlPlane(3, async (cp) => {
      using node = await joined(cp, "n");
      (await joined(cp, "m"))[Symbol.dispose]();
      await expect(
        cp.nodes.pin("default", ["m", "n"], 2n),
      ).rejects.toMatchObject({
        code: "failed_precondition",
        violations: [
          { kind: "node", name: "m" },
          {
            name: "n",
            reason: expect.stringContaining("holdfast rollback 2") as string,
          },
        ],
      });
      await expect(cp.nodes.pin("default", ["n"], 4n)).rejects.toMatchObject({
        code: "not_found",
      });
      expect(shown(cp, "m")?.pinnedRevision).toBeUndefined();
      await cp.put(service("a", 4));
      expect((await node.heard("delta")).to?.revision).toBe(4n);
    });
  });

  test("keeps 16 different revisions at most", async () => {
    await withControlPlane(18, async (cp) => {
      const pin = (at: number): Promise<void> =>
        cp.nodes.pin("default", [`n${at}`], BigInt(at));
      for (let at = 1; at <= 16; at++) await pin(at);
      await expect(pin(17)).rejects.toMatchObject({
        code: "resource_exhausted",
      });
      await cp.nodes.pin("default", ["n17"], 16n);
      // A pin that is moved gives its old revision back.
      await cp.nodes.pin("default", ["n1"], 18n);
    });
  });
});

describe("a paused workspace", () => {
  test("sends nodes nothing newer, over a restart too, but for pinned ones, and all of them the head when it is resumed", async () => {
    await withControlPlane(2, async (first, dir) => {
      expect(await first.nodes.pause("default")).toBe(2n);
      await first.put(service("a", 3));
      expect(await first.nodes.pause("default")).toBe(2n);
      await first[Symbol.asyncDispose]();
      await using cp = await TestControlPlane.start(dir);
      expect(cp.nodes.pausedAt("default")).toBe(2n);
      using node = await joined(cp, "n");
      expect(sent(node)).toEqual([2n]);
      expect(shown(cp, "n")).toMatchObject({
        paused: true,
        conditions: ["paused"],
        reason: "paused at revision 2",
      });
      expect(cp.nodes.waiting("default", 3n)).toMatchObject({ heldBack: 1 });
      expect(cp.nodes.waiting("default", 2n)).toMatchObject({
        serving: 1,
        heldBack: 0,
      });
      using canary = await joined(cp, "canary");
      await cp.nodes.pin("default", ["canary"], 3n);
      expect((await canary.heard("delta")).to?.revision).toBe(3n);
      expect(sent(node)).toEqual([2n]);
      expect(await cp.nodes.resume("default")).toBe(3n);
      expect((await node.heard("delta")).to?.revision).toBe(3n);
      expect(shown(cp, "n")).toMatchObject({ paused: false, conditions: [] });
      expect(cp.nodes.pausedAt("default")).toBeUndefined();
    });
  });
});
