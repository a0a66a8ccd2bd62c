import { describe, expect, test } from "vitest";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { NackClass } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursor } from "../../support/cursors.ts";
import { eventually } from "../../support/eventually.ts";
import { service, TestControlPlane } from "../../support/link-harness.ts";
import { PuppetNode } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

const foreign = cursor(7, "foreign", "another epoch");

async function withControlPlane(
  run: (cp: TestControlPlane, dir: TempDir) => Promise<void>,
): Promise<void> {
  await using dir = await TempDir.make();
  await using cp = await TestControlPlane.start(dir);
  await cp.put(service("a"));
  await run(cp, dir);
}

function shown(cp: TestControlPlane, id = "n") {
  return cp.nodes.get("default", id);
}

/** Waits for a node to be shown with just these conditions. */
function conditions(
  cp: TestControlPlane,
  ...expected: readonly string[]
): Promise<true> {
  return eventually(
    () => {
      const now = shown(cp)?.conditions.join(" ");
      return now === expected.join(" ") ? true : undefined;
    },
    `conditions ${expected.join(" ")}`,
  );
}

function answers(node: PuppetNode, seq: bigint, of: Cursor | undefined): void {
  node.send({ case: "ack", value: { seq, cursor: of } });
}

function count(node: PuppetNode, type: string): number {
  return node.received.filter(({ message }) => message.case === type).length;
}

describe("rule 6: a node that is ahead of this history", () => {
  test("is welcomed, sent nothing and shown as forked, until the history gets a new epoch", async () => {
    await withControlPlane(async (cp) => {
      const { epoch } = cp.catalog.head.cursor;
      using node = new PuppetNode(cp.address);
      node.greet("n", { have: cursor(99, "ahead", epoch) });
      await node.heard("welcome");
      await conditions(cp, "forked");
      expect(shown(cp)?.reason).toContain("holdfast adopt");
      const revision = await cp.put(service("b"));
      await eventually(
        () => shown(cp)?.wanted?.revision === revision || undefined,
        "the new head",
      );
      expect(cp.nodes.waiting("default", revision).refusing).toBe(1);
      expect(count(node, "manifest") + count(node, "delta")).toBe(0);

      await cp.catalog.adopt();
      const manifest = await node.heard("manifest");
      expect(manifest).toMatchObject({
        cursor: cp.catalog.head.cursor,
        predecessors: [epoch],
        allowed: false,
      });
      answers(node, manifest.seq, manifest.cursor);
      await eventually(() => shown(cp)?.inSync === true || undefined, "sync");
      expect(shown(cp)?.conditions).toEqual([]);
    });
  });

  test("is one that serves this revision with another content, too", async () => {
    await withControlPlane(async (cp) => {
      const { epoch } = cp.catalog.head.cursor;
      await cp.put(service("b"));
      using node = new PuppetNode(cp.address);
      node.greet("n", { have: cursor(1, "other", epoch) });
      await conditions(cp, "forked");
    });
  });

  test("is not one that is behind, of a foreign epoch, or at the head", async () => {
    await withControlPlane(async (cp) => {
      const behind = cp.catalog.head.cursor;
      await cp.put(service("b"));
      for (const have of [behind, cp.catalog.head.cursor, foreign]) {
        using node = new PuppetNode(cp.address);
        node.greet("n", { have });
        await node.heard("manifest");
        await eventually(
          () => shown(cp)?.connected === true || undefined,
          "the node",
        );
        expect(shown(cp)?.conditions).toEqual([]);
        node[Symbol.dispose]();
        await eventually(
          () => shown(cp)?.connected === false || undefined,
          "its end",
        );
      }
    });
  });
});

describe("rule 6: a node that would lose more than half of its entries", () => {
  test("is shown as held, and offered the state again with permission when somebody allows it", async () => {
    await withControlPlane(async (cp) => {
      using node = new PuppetNode(cp.address);
      node.greet("n", { have: foreign });
      const first = await node.heard("manifest");
      node.send({
        case: "nack",
        value: {
          seq: first.seq,
          cursor: first.cursor,
          kept: foreign,
          class: NackClass.HELD,
        },
      });
      await conditions(cp, "held");
      expect(shown(cp)?.reason).toContain("holdfast nodes allow");
      expect(cp.nodes.waiting("default", 1n).refusing).toBe(1);
      expect(cp.nodes.allow("default", "n")?.allowedEpoch).toBe(
        cp.catalog.head.cursor.epoch,
      );
      const second = await node.heard("manifest", 2);
      expect(second).toMatchObject({ allowed: true, cursor: first.cursor });
      answers(node, second.seq, second.cursor);
      await eventually(() => shown(cp)?.inSync === true || undefined, "sync");
      expect(shown(cp)).toMatchObject({ conditions: [], allowedEpoch: "" });
    });
  });

  test("may be allowed while it is away, and the control plane may be restarted before it is back", async () => {
    await using dir = await TempDir.make();
    const held = {
      refused: [{ class: NackClass.HELD, cursor: cursor(1) }],
      have: foreign,
    };
    {
      await using cp = await TestControlPlane.start(dir);
      await cp.put(service("a"));
      held.refused = [
        { class: NackClass.HELD, cursor: cp.catalog.head.cursor },
      ];
      using node = new PuppetNode(cp.address);
      node.greet("n", held);
      await conditions(cp, "held");
      expect(count(node, "manifest")).toBe(0);
      node[Symbol.dispose]();
      await eventually(
        () => shown(cp)?.connected === false || undefined,
        "its end",
      );
      expect(cp.nodes.allow("default", "n")).toBeDefined();
      expect(cp.nodes.allow("default", "nobody")).toBeUndefined();
    }
    await using cp = await TestControlPlane.start(dir);
    using node = new PuppetNode(cp.address);
    node.greet("n", held);
    expect(await node.heard("manifest")).toMatchObject({ allowed: true });
  });
});

test("a node that comes back with less than it had acknowledged is shown as regressed, until it has caught up", async () => {
  await withControlPlane(async (cp) => {
    const older = cp.catalog.head.cursor;
    await cp.put(service("b"));
    {
      using node = new PuppetNode(cp.address);
      node.greet("n");
      const manifest = await node.heard("manifest");
      answers(node, manifest.seq, manifest.cursor);
      await eventually(() => shown(cp)?.inSync === true || undefined, "sync");
    }
    using node = new PuppetNode(cp.address);
    node.greet("n", { have: older });
    await conditions(cp, "regressed");
    const manifest = await node.heard("manifest");
    answers(node, manifest.seq, manifest.cursor);
    await conditions(cp);
  });
});

test("a node says how far its apply has come, and people see it until it is done", async () => {
  await withControlPlane(async (cp) => {
    using node = new PuppetNode(cp.address);
    node.greet("n");
    const { seq, cursor: to } = await node.heard("manifest");
    node.send({
      case: "report",
      value: { progress: { seq, step: "prepare", done: 5n, total: 9n } },
    });
    const progress = await eventually(() => shown(cp)?.progress, "progress");
    expect(progress).toMatchObject({
      revision: 1n,
      step: "prepare",
      done: 5n,
      total: 9n,
    });
    answers(node, seq, to);
    await eventually(() => shown(cp)?.inSync === true || undefined, "sync");
    expect(shown(cp)?.progress).toBeUndefined();
  });
});

test("a node is forgotten when somebody says so, but not while it is connected", async () => {
  await withControlPlane(async (cp) => {
    const removed: string[] = [];
    cp.nodes.onChange((event) => {
      if (event.removed) removed.push(event.node.id);
    });
    using node = new PuppetNode(cp.address);
    node.greet("n");
    await node.heard("welcome");
    expect(await cp.nodes.forget("default", "n")).toBe("connected");
    expect(await cp.nodes.forget("default", "nobody")).toBeUndefined();
    node[Symbol.dispose]();
    await eventually(
      () => shown(cp)?.connected === false || undefined,
      "its end",
    );
    expect(await cp.nodes.forget("default", "n")).toBe("forgotten");
    expect(shown(cp)).toBeUndefined();
    expect(removed).toEqual(["n"]);
  });
});
