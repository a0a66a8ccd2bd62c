import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { GoodbyeReason } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { GrpcServer, type BoundService } from "../../../src/runtime/grpc.ts";
import { LIMITS } from "../../../src/sync/limits.ts";
import { cursor } from "../../support/cursors.ts";
import { eventually } from "../../support/eventually.ts";
import { service, TestControlPlane } from "../../support/link-harness.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { PuppetNode } from "../../support/sync-peers.ts";
import { TempDir } from "../../support/temp-dir.ts";

/** Makes looking into the history wait, as on a slow disk. */
class SlowHistory {
  /** Look-ups that have begun. */
  begun = 0;
  readonly #released: Promise<void>;
  #release = (): void => undefined;

  constructor(cp: TestControlPlane) {
    this.#released = new Promise((resolve) => {
      this.#release = resolve;
    });
    const knows = cp.catalog.knows.bind(cp.catalog);
    cp.catalog.knows = async (of: Cursor) => {
      this.begun++;
      await this.#released;
      return knows(of);
    };
  }

  release(): void {
    this.#release();
  }

  async asked(): Promise<void> {
    await eventually(() => this.begun > 0 || undefined, "a look-up");
  }
}

/** The service of a control plane, which counts the streams that were cut. */
function counting(inner: BoundService): {
  readonly service: BoundService;
  readonly cut: () => number;
} {
  let cut = 0;
  return {
    cut: () => cut,
    service: {
      definition: inner.definition,
      implement: (host) => {
        const connect = inner.implement(host)[
          "connect"
        ] as handleBidiStreamingCall<unknown, unknown>;
        const counted: handleBidiStreamingCall<unknown, unknown> = (call) => {
          call.once("cancelled", () => cut++);
          connect(call);
        };
        return { connect: counted };
      },
    },
  };
}

/** A node that is another process than one with the same id before. */
function comesBack(node: PuppetNode, have: Cursor): void {
  node.send({
    case: "hello",
    value: {
      node: { id: "n", boot: "another-boot", build: "b", hostname: "n" },
      features: [{ name: "kind/service", version: 1 }],
      have,
    },
  });
  node.send({ case: "snapshotRequest", value: {} });
}

/** What is served is replaced twice: by another state, and by another epoch. */
async function replaceAll(cp: TestControlPlane): Promise<void> {
  await cp.put(service("b"));
  await cp.catalog.adopt();
}

describe("a node whose state is looked for in the history for long", () => {
  test("and whose stream is cut meanwhile does not stand in the way of the process that comes after it", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    const ahead = cursor(99, "ahead", cp.catalog.head.cursor.epoch);
    const history = new SlowHistory(cp);
    const { service: counted, cut } = counting(cp.reception.service);
    await using server = await GrpcServer.listen(
      { host: "127.0.0.1", port: 0 },
      [counted],
      {
        onFailure: (error) => {
          throw error;
        },
      },
    );
    {
      using node = new PuppetNode(server.address);
      node.greet("n", { have: ahead });
      await history.asked();
    }
    await eventually(() => cut() === 1 || undefined, "the end of the stream");
    await replaceAll(cp);
    history.release();

    using node = new PuppetNode(server.address);
    comesBack(node, ahead);
    expect((await node.heard("welcome")).head).toEqual(cp.catalog.head.cursor);
    expect(cp.nodes.get("default", "n")?.connected).toBe(true);
  });

  test("and that is given up meanwhile does not, either", async () => {
    await using dir = await TempDir.make();
    const clock = new ManualClock();
    await using cp = await TestControlPlane.start(dir, 0, { clock });
    await cp.put(service("a"));
    const ahead = cursor(99, "ahead", cp.catalog.head.cursor.epoch);
    const history = new SlowHistory(cp);
    {
      using node = new PuppetNode(cp.address);
      node.greet("n", { have: ahead });
      await history.asked();
      for (let ms = 0; ms <= LIMITS.greetMs; ms += 1_000) clock.advance(1_000);
      expect((await node.heard("goodbye")).reason).toBe(GoodbyeReason.STALLED);
    }
    history.release();

    using node = new PuppetNode(cp.address);
    comesBack(node, ahead);
    await node.heard("welcome");
    expect(cp.nodes.get("default", "n")?.connected).toBe(true);
  });

  test("in an epoch that is replaced meanwhile is sent the new one, which says what it replaced", async () => {
    await using dir = await TempDir.make();
    await using cp = await TestControlPlane.start(dir);
    await cp.put(service("a"));
    const { epoch } = cp.catalog.head.cursor;
    const history = new SlowHistory(cp);
    using node = new PuppetNode(cp.address);
    node.greet("n", { have: cursor(99, "ahead", epoch) });
    await history.asked();
    await replaceAll(cp);
    history.release();
    expect(await node.heard("manifest")).toMatchObject({
      cursor: cp.catalog.head.cursor,
      predecessors: [epoch],
    });
    expect(cp.nodes.get("default", "n")?.conditions).toEqual([]);
  });
});
