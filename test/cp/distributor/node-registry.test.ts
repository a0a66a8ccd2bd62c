import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { NodeRegistry } from "../../../src/cp/distributor/node-registry.ts";
import type { NodeEvent } from "../../../src/cp/distributor/nodes.ts";
import { LevelStore } from "../../../src/cp/store/level-store.ts";
import type { NodeRecord } from "../../../src/cp/store/store.ts";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  AckSchema,
  HelloSchema,
  NackClass,
  NackSchema,
  ReportSchema,
  type Hello,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { silentLogger } from "../../../src/runtime/logger.ts";
import type { FeatureNeed } from "../../../src/sync/features.ts";
import { stepSession } from "../../../src/sync/session.ts";
import {
  openSession,
  type Session,
  type SessionEvent,
} from "../../../src/sync/session/state.ts";
import { cursor } from "../../support/cursors.ts";
import { eventually } from "../../support/eventually.ts";
import { FailingStore } from "../../support/failing-store.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { TempDir } from "../../support/temp-dir.ts";

const A = cursor(1);
const B = cursor(2);
const C = cursor(3);
const DAY = 24 * 60 * 60 * 1000;

/** Counts the writes of nodes, and fails them when told to. */
class NodeStore extends FailingStore {
  readonly writes: {
    readonly put: readonly string[];
    readonly remove: readonly string[];
  }[] = [];
  full = false;

  override async saveNodes(
    workspace: string,
    put: readonly NodeRecord[],
    remove: readonly string[],
  ): Promise<void> {
    this.writes.push({ put: put.map(({ id }) => id), remove });
    if (this.full) throw new Error("the disk is full");
    await super.saveNodes(workspace, put, remove);
  }
}

/** A registry on a real store, and nodes that talk to it by way of the session's machine. */
class World implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly dir: TempDir;
  store!: NodeStore;
  registry!: NodeRegistry;
  head: Cursor;

  private constructor(dir: TempDir, head: Cursor) {
    this.dir = dir;
    this.head = head;
  }

  static async open(head = A): Promise<World> {
    const world = new World(await TempDir.make(), head);
    await world.#open();
    return world;
  }

  async #open(): Promise<void> {
    this.store = new NodeStore(
      await LevelStore.open({ directory: this.dir.join("store") }),
    );
    this.registry = await NodeRegistry.open(
      {
        workspace: "default",
        store: this.store,
        clock: this.clock,
        logger: silentLogger,
      },
      this.head,
    );
  }

  /** Ends the control plane, in an orderly way or not, and starts it again. */
  async restart(options: { readonly killed?: boolean } = {}): Promise<void> {
    if (options.killed !== true) await this.registry[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
    await this.#open();
  }

  node(
    id: string,
    options: {
      readonly have?: Cursor;
      readonly build?: string;
      readonly features?: readonly string[];
      readonly refused?: readonly Cursor[];
      readonly needs?: readonly FeatureNeed[];
    } = {},
  ): TestSession {
    return new TestSession(
      this,
      create(HelloSchema, {
        node: {
          id,
          boot: "b",
          build: options.build ?? "1.0",
          hostname: `host-${id}`,
        },
        have: options.have,
        features: (options.features ?? ["kind/service"]).map((name) => ({
          name,
          version: 1,
        })),
        refused: (options.refused ?? []).map((refused) => ({
          class: NackClass.INVALID,
          cursor: refused,
          violations: [{ key: "route/x", field: "paths[0]", reason: "is bad" }],
        })),
      }),
      options.needs ?? [],
    );
  }

  publish(head: Cursor): void {
    this.head = head;
    this.registry.setHead(head);
    this.registry.announceHead();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
    await this.dir[Symbol.asyncDispose]();
  }
}

type News = SessionEvent extends infer E
  ? E extends SessionEvent
    ? Omit<E, "nowMs">
    : never
  : never;

/** A node with a stream: joins, and takes what is offered to it as a test says. */
class TestSession {
  readonly id: string;
  session: Session;
  readonly #world: World;
  readonly #hello: Hello;

  constructor(world: World, hello: Hello, needs: readonly FeatureNeed[]) {
    this.#world = world;
    this.#hello = hello;
    this.id = hello.node?.id ?? "";
    this.session = openSession(world.head, needs, world.clock.monotonic());
    const refusedRoots = world.registry.refusedRoots(hello);
    this.#step({
      type: "greeted",
      hello,
      refusedRoots,
      forked: false,
      allowed: false,
    });
    world.registry.join(
      hello,
      { address: "192.0.2.1:40000", certificate: undefined },
      this.session,
    );
    this.send({ type: "drained" });
    this.send({ type: "snapshotRequested" });
    this.send({ type: "drained" });
  }

  send(news: News): this {
    this.#step(news);
    this.#world.registry.observe(this.id, this.session);
    return this;
  }

  publish(head: Cursor): this {
    return this.send({ type: "published", head, needs: [] }).send({
      type: "drained",
    });
  }

  ack(): this {
    const { seq = 0n, to } = this.session.inFlight ?? {};
    return this.send({
      type: "acked",
      ack: create(AckSchema, {
        seq,
        cursor: to,
        timings: { prepareUs: 1_500_000n },
      }),
    });
  }

  nack(nackClass: NackClass = NackClass.INVALID): this {
    const { seq = 0n, to } = this.session.inFlight ?? {};
    return this.send({
      type: "nacked",
      nack: create(NackSchema, {
        seq,
        cursor: to,
        kept: this.session.acked,
        class: nackClass,
        violations: [
          { key: "route/x", field: "paths[0]", reason: "is bad" },
          { key: "route/y", field: "", reason: "is worse" },
        ],
      }),
    });
  }

  beat(): this {
    return this.send({ type: "reported", report: create(ReportSchema) });
  }

  /** What the control plane remembers that this node, as it is now, refused. */
  get refusedRoots(): readonly string[] {
    return this.#world.registry.refusedRoots(this.#hello);
  }

  leave(): void {
    this.#step({ type: "disconnected" });
    this.#world.registry.leave(this.id);
  }

  #step(news: News): void {
    const nowMs = this.#world.clock.monotonic();
    const event = { ...news, nowMs } as SessionEvent;
    this.session = stepSession(this.session, event).session;
  }
}

describe("a node's row", () => {
  test("says who it is, what it serves and is wanted to, and why not", async () => {
    await using world = await World.open();
    const node = world.node("n");
    expect(world.registry.get("n")).toMatchObject({
      id: "n",
      boot: "b",
      build: "1.0",
      hostname: "host-n",
      ip: "192.0.2.1",
      workspace: "default",
      connected: true,
      wanted: A,
      inSync: false,
      reason: "is applying revision 1",
    });
    node.ack();
    const served = world.registry.get("n");
    expect(served).toMatchObject({ serving: A, inSync: true, reason: "" });
    expect(served?.lastApply?.prepare).toMatchObject({
      seconds: 1n,
      nanos: 500_000_000,
    });
    world.publish(B);
    expect(world.registry.get("n")).toMatchObject({
      wanted: B,
      inSync: false,
      reason: "is about to be sent revision 2",
    });
    node.publish(B).nack();
    expect(world.registry.get("n")).toMatchObject({
      serving: A,
      inSync: false,
      reason:
        "refuses revision 2: INVALID: route/x: paths[0]: is bad (and 1 more)",
      lastNack: { class: "INVALID", cursor: B },
    });
    world.publish(C);
    node.publish(C).nack(NackClass.LOCAL_IO);
    expect(world.registry.get("n")?.reason).toBe(
      "cannot store revision 3 and tries again: LOCAL_IO: route/x: paths[0]: is bad (and 1 more)",
    );
    node.ack();
    expect(world.registry.get("n")).toMatchObject({
      serving: C,
      inSync: true,
      reason: "",
    });
    expect(world.registry.get("n")?.lastNack).toBeUndefined();
    node.leave();
    expect(world.registry.get("n")).toMatchObject({
      connected: false,
      inSync: false,
      serving: C,
      reason: "not connected",
    });
  });

  test("names the features it lacks and who needs them, or what it serves only in part", async () => {
    await using world = await World.open();
    const needs = [
      { name: "plugin/acl", version: 2, keys: ["plugin/1", "plugin/2"] },
    ];
    world.node("strict", { needs });
    const strict = world.registry.get("strict");
    expect(strict?.missingFeatures).toEqual([
      "lacks plugin/acl (version 2), which plugin/1, plugin/2 needs: the node keeps the last state it can apply until this is no longer needed or its build has it",
    ]);
    expect(strict?.reason).toBe(strict?.missingFeatures[0]);
    const lenient = world.node("lenient", {
      needs,
      features: ["kind/service", "config/fail-route"],
    });
    lenient.ack();
    expect(world.registry.get("lenient")).toMatchObject({
      inSync: true,
      reason:
        "degraded: lacks plugin/acl (version 2), which plugin/1, plugin/2 needs: routes in the scope of these plugins answer 503",
    });
    expect(
      world.registry.unsupportedBy([
        { name: "plugin/acl", version: 1 },
        { name: "kind/service", version: 1 },
      ]),
    ).toEqual([
      {
        feature: { name: "plugin/acl", version: 1 },
        refusing: true,
        nodes: ["strict"],
      },
      {
        feature: { name: "plugin/acl", version: 1 },
        refusing: false,
        nodes: ["lenient"],
      },
    ]);
    lenient.leave();
    expect(
      world.registry.unsupportedBy([{ name: "plugin/acl", version: 1 }]),
    ).toMatchObject([{ nodes: ["strict"] }]);
    expect(world.registry.get("lenient")?.missingFeatures).toEqual([]);
  });

  test("adds up requests by revision, for the newest 16", async () => {
    await using world = await World.open();
    world.node("n").ack();
    for (let revision = 1n; revision <= 20n; revision++)
      for (const errors of [0n, 2n])
        world.registry.report(
          "n",
          create(ReportSchema, {
            counters: [{ revision, requests: 10n, errors }],
          }),
        );
    const requests = world.registry.get("n")?.requests ?? [];
    expect(requests.map(({ revision }) => Number(revision))).toEqual(
      Array.from({ length: 16 }, (_, i) => 20 - i),
    );
    expect(requests[0]).toMatchObject({ requests: 20n, errors: 2n });
  });

  test("comes by hostname, then id, and every change of it is told", async () => {
    await using world = await World.open();
    const events: NodeEvent[] = [];
    const stop = world.registry.onChange((event) => events.push(event));
    for (const id of ["c", "a", "b"]) world.node(id);
    expect(world.registry.list().map(({ id }) => id)).toEqual(["a", "b", "c"]);
    const [first] = world.registry.list(undefined, 1);
    expect(first?.id).toBe("a");
    expect(world.registry.list(first, 1).map(({ id }) => id)).toEqual(["b"]);
    expect(world.registry.list(first).map(({ id }) => id)).toEqual(["b", "c"]);
    expect(new Set(events.map(({ node }) => node.id)).size).toBe(3);
    const count = events.length;
    world.publish(B);
    expect(events.length).toBe(count + 3);
    stop();
    world.publish(C);
    expect(events.length).toBe(count + 3);
  });
});

describe("refused roots", () => {
  test("are remembered over streams of the same build with the same features, and of no other", async () => {
    await using world = await World.open();
    const node = world.node("n").ack();
    world.publish(B);
    node.publish(B).nack();
    node.leave();
    const again = world.node("n", { have: A });
    expect(again.refusedRoots).toEqual([B.root]);
    expect(again.session.inFlight).toBeUndefined();
    expect(world.registry.get("n")?.reason).toMatch(/^refuses revision 2: /);
    again.leave();
    // In another order they are the same.
    const features = ["kind/route", "kind/service"];
    expect(world.node("n", { have: A, features }).session.inFlight?.to).toEqual(
      B,
    );
    const built = world.node("n", { have: A, build: "1.1", features });
    expect(built.refusedRoots).toEqual([]);
    built.nack();
    built.leave();
    expect(
      world.node("n", {
        have: A,
        build: "1.1",
        features: [...features].reverse(),
      }).refusedRoots,
    ).toEqual([B.root]);
    expect(world.node("other").refusedRoots).toEqual([]);
  });

  test.each([NackClass.LOCAL_IO, NackClass.ROOT_MISMATCH])(
    "are not those answered with class %i",
    async (nackClass) => {
      await using world = await World.open();
      const node = world.node("n").nack(nackClass);
      expect(node.refusedRoots).toEqual([]);
    },
  );

  test("are forgiven when somebody asks for another try, connected or not", async () => {
    await using world = await World.open();
    expect(world.registry.forgive("nobody")).toBe(false);
    const node = world.node("n").nack();
    expect(node.refusedRoots).toEqual([A.root]);
    expect(world.registry.forgive("n")).toBe(true);
    expect(node.refusedRoots).toEqual([]);
    // Its stream may be dead: until it answers, the next one is forgiven too.
    expect(world.registry.isForgiven("n")).toBe(true);
    node.send({ type: "retried" }).nack();
    expect(world.registry.isForgiven("n")).toBe(false);
    expect(node.refusedRoots).toEqual([A.root]);
    node.leave();
    world.registry.forgive("n");
    expect(node.refusedRoots).toEqual([]);
    expect(world.registry.isForgiven("n")).toBe(true);
  });

  test("stay forgiven over a restart of the control plane, until the node has answered", async () => {
    await using world = await World.open();
    world.node("n").nack().leave();
    world.registry.forgive("n");
    await world.restart();
    expect(world.registry.isForgiven("n")).toBe(true);
    world.node("n").ack();
    expect(world.registry.isForgiven("n")).toBe(false);
  });

  test("that the node tells of are shown with its reasons after a restart of the control plane", async () => {
    await using world = await World.open(B);
    await world.restart();
    world.node("n", { have: A, refused: [B] });
    expect(world.registry.get("n")).toMatchObject({
      inSync: false,
      reason: "refuses revision 2: INVALID: route/x: paths[0]: is bad",
      lastNack: { class: "INVALID", cursor: B },
    });
  });
});

describe("waiting for a revision", () => {
  test("counts who is connected, or was within the last 60 s, and says who is missing and why", async () => {
    await using world = await World.open(B);
    expect(world.registry.waiting(2n)).toEqual({
      serving: 0,
      total: 0,
      refusing: 0,
      heldBack: 0,
      missing: [],
    });
    world.node("there").ack();
    const gone = world.node("gone", { have: A });
    gone.leave();
    world.node("busy", { have: A });
    expect(world.registry.waiting(2n)).toMatchObject({
      serving: 1,
      total: 3,
      refusing: 0,
      missing: [
        { id: "gone", serving: A, reason: "not connected" },
        { id: "busy", serving: A, reason: "is applying revision 2" },
      ],
    });
    // A later revision is one that has it too.
    expect(world.registry.waiting(1n)).toMatchObject({ serving: 3, total: 3 });
    expect(world.registry.waiting(3n)).toMatchObject({ serving: 0, total: 3 });
    world.clock.advance(60_000);
    expect(world.registry.waiting(2n).total).toBe(3);
    world.clock.advance(1);
    expect(world.registry.waiting(2n)).toMatchObject({ serving: 1, total: 2 });
  });

  test("counts a state of another epoch as not serving it", async () => {
    await using world = await World.open(B);
    world.node("n", { have: cursor(9, "content 9", "other epoch") });
    expect(world.registry.waiting(1n)).toMatchObject({ serving: 0, total: 1 });
  });

  test("says at once when a node refuses it or lacks what it needs, and not of an older one that was refused", async () => {
    await using world = await World.open(A);
    const node = world.node("n").nack();
    expect(world.registry.waiting(1n).refusing).toBe(1);
    world.publish(B);
    node.publish(B);
    expect(world.registry.waiting(2n)).toMatchObject({
      refusing: 0,
      missing: [{ reason: "is applying revision 2" }],
    });
    node.ack();
    expect(world.registry.waiting(2n)).toMatchObject({
      refusing: 0,
      serving: 1,
    });
    world.node("lacking", {
      needs: [{ name: "plugin/acl", version: 1, keys: ["plugin/1"] }],
    });
    expect(world.registry.waiting(2n).refusing).toBe(1);
    // It was not told of what is not published yet.
    expect(world.registry.waiting(3n).refusing).toBe(0);
  });
});

describe("the store", () => {
  test("is written once for many changes, and not at all for heartbeats within a minute", async () => {
    await using world = await World.open();
    const { writes } = world.store;
    const nodes = Array.from({ length: 20 }, (_, i) => world.node(`n${i}`));
    for (const node of nodes) node.ack();
    expect(writes).toEqual([]);
    world.clock.advance(2_000);
    await eventually(() => writes[0], "a write");
    await world.registry.flush();
    expect(writes).toHaveLength(1);
    expect(writes[0]?.put).toHaveLength(20);
    for (let second = 10; second < 60; second += 10) {
      world.clock.advance(10_000);
      for (const node of nodes) node.beat();
    }
    world.clock.advance(5_000);
    await world.registry.flush();
    expect(writes).toHaveLength(1);
    // Once a minute or so it is worth it.
    world.clock.advance(10_000);
    for (const node of nodes) node.beat();
    world.clock.advance(2_000);
    await world.registry.flush();
    expect(writes).toHaveLength(2);
    expect(writes[1]?.put).toHaveLength(20);
  });

  test("gives the nodes back after a restart, none of them connected", async () => {
    await using world = await World.open();
    world.node("n").ack();
    await world.restart();
    expect(world.registry.list()).toMatchObject([
      { id: "n", hostname: "host-n", connected: false, serving: A },
    ]);
  });

  test("gives back what was flushed when the control plane is killed, and such a node counts for another 60 s", async () => {
    await using world = await World.open();
    world.node("n").ack();
    await world.registry.flush();
    world.clock.advance(120_000);
    await world.restart({ killed: true });
    const [node] = world.registry.list();
    expect(node).toMatchObject({ connected: false, serving: A });
    expect(node?.disconnectedAt && timestampMs(node.disconnectedAt)).toBe(
      world.clock.now(),
    );
    expect(world.registry.waiting(1n).total).toBe(1);
    world.clock.advance(60_001);
    expect(world.registry.waiting(1n).total).toBe(0);
  });

  test("that cannot be written is tried again, and holds nobody up", async () => {
    await using world = await World.open();
    world.store.full = true;
    const node = world.node("n").ack();
    await world.registry.flush();
    expect(world.store.writes).toHaveLength(1);
    world.store.full = false;
    node.leave();
    world.clock.advance(2_000);
    await world.registry.flush();
    await world.restart();
    expect(world.registry.get("n")).toMatchObject({ serving: A });
  });

  test("forgets a node that was gone for 14 days, while running or not, and not one that came back", async () => {
    await using world = await World.open();
    const removed: string[] = [];
    world.registry.onChange((event) => {
      if (event.removed) removed.push(event.node.id);
    });
    for (const id of ["gone", "back", "old"]) world.node(id).leave();
    world.clock.advance(14 * DAY - 60 * 60_000 - 1);
    const back = world.node("back");
    await world.registry.flush();
    expect(world.registry.list()).toHaveLength(3);
    world.clock.advance(2 * 60 * 60_000);
    await world.registry.flush();
    expect(removed.sort()).toEqual(["gone", "old"]);
    expect(world.registry.list().map(({ id }) => id)).toEqual(["back"]);
    await world.restart();
    expect(world.registry.list().map(({ id }) => id)).toEqual(["back"]);
    back.leave();
    world.clock.advance(15 * DAY);
    await world.restart();
    expect(world.registry.list()).toEqual([]);
    // One that comes again is as good as new.
    world.node("gone");
    await world.restart();
    expect(world.registry.list().map(({ id }) => id)).toEqual(["gone"]);
  });
});
