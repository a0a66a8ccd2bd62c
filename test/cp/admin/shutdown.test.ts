import { ADMIN_SERVICES } from "../../../src/cp/admin/services.ts";
import { Code, ConnectError } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../src/gen/grpc/health/v1/health_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  each,
  PROTOCOLS,
  startAdminServer,
  take,
  type AdminServer,
} from "../../support/admin-server.ts";

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());

/** Makes the catalog's transactions wait until they are released. */
function heldTransactions(): {
  readonly underWay: Promise<void>;
  readonly release: () => void;
} {
  const transact = server.catalog.transact.bind(server.catalog);
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  let begun = (): void => {};
  const underWay = new Promise<void>((resolve) => (begun = resolve));
  Object.assign(server.catalog, {
    transact: async (...args: Parameters<typeof transact>) => {
      begun();
      await released;
      return transact(...args);
    },
  });
  return { underWay, release };
}

describe("a stop", () => {
  test.each(PROTOCOLS)(
    "ends streams by %s at once, and says why",
    async (protocol) => {
      const { config, nodes } = server.clients(protocol);
      server.nodes.serve("one", 0n);
      const { revision } = await config.put({
        resource: {
          kind: { case: "service", value: { name: "s", host: "h" } },
        },
      });
      const told: Promise<unknown>[] = [];
      const streams = [
        config.watch({}),
        config.waitForRevision({ revision }),
        nodes.watchNodes({}),
      ].map(async (stream) => {
        let first = (): void => {};
        told.push(new Promise<void>((resolve) => (first = resolve)));
        const messages: AsyncIterable<unknown> = stream;
        for await (const message of messages) if (message !== null) first();
      });
      const ended = Promise.allSettled(streams);
      await Promise.all(told);
      const started = performance.now();
      await server.stop();
      expect(performance.now() - started).toBeLessThan(1_500);
      for (const stream of await ended)
        expect(
          stream.status === "rejected" && ConnectError.from(stream.reason),
        ).toMatchObject({
          code: Code.Unavailable,
          rawMessage: "the control plane is stopping",
        });
      expect(server.nodes.listeners).toBe(0);
    },
  );

  test("lets a write that is under way finish", async () => {
    const { underWay, release } = heldTransactions();
    const put = server.config.put({
      resource: { kind: { case: "service", value: { name: "s", host: "h" } } },
    });
    await underWay;
    const stopping = server.stop();
    release();
    expect((await put).revision).toBe(1n);
    await stopping;
  });

  test("does not wait for a client that reads nothing", async () => {
    const stream = server.clients("connect-2").config.watch({});
    await stream[Symbol.asyncIterator]().next();
    const started = performance.now();
    await server.stop();
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  test("is idempotent, and nothing answers afterwards", async () => {
    await Promise.all([server.stop(), server.stop()]);
    await expect(server.config.list({ kind: "service" })).rejects.toMatchObject(
      { code: Code.Unavailable },
    );
  });
});

describe("a drain", () => {
  const service = (name: string) => ({
    resource: {
      kind: { case: "service" as const, value: { name, host: "h" } },
    },
  });

  test.each(PROTOCOLS)(
    "refuses changes by %s, and lets reading go on",
    async (protocol) => {
      const { config, nodes } = server.clients(protocol);
      await config.put(service("before"));
      await server.drain();
      const writes = [
        () => config.put(service("after")),
        () => config.delete({ kind: "service", by: nameOf("before") }),
        () => config.transact({}),
        () => config.apply({ files: [{ name: "f", content: "" }] }),
        () => config.rollback({ revision: 0n }),
        () => config.adopt({}),
        () => nodes.retry({ id: "x" }),
        () => nodes.allow({ id: "x" }),
        () => nodes.forget({ id: "x" }),
        ...(protocol.startsWith("grpc-web")
          ? []
          : [() => config.transactStream(nothing())]),
      ];
      for (const write of writes)
        await expect(write()).rejects.toMatchObject({
          code: Code.Unavailable,
          rawMessage: expect.stringMatching(
            /is stopping and takes no changes any more: nothing was changed/,
          ) as string,
        });
      const { resources } = await config.list({ kind: "service" });
      expect(resources).toHaveLength(1);
      expect((await config.listRevisions({})).revisions).toHaveLength(1);
      expect((await nodes.listNodes({})).nodes).toEqual([]);
      const [first] = await take((options) => config.watch({}, options), 1);
      expect(first?.event.case).toBe("heartbeat");
      expect(server.catalog.head.cursor.revision).toBe(1n);
    },
  );

  const nameOf = (value: string) => ({ case: "name" as const, value });

  async function* nothing() {
    yield { data: new Uint8Array() };
  }

  test("waits for changes that are under way, and they are done", async () => {
    const { underWay, release } = heldTransactions();
    const put = server.config.put(service("s"));
    await underWay;
    let drained = false;
    const draining = server.drain().then(() => {
      drained = true;
    });
    await server.config.list({ kind: "service" });
    expect(drained).toBe(false);
    release();
    expect((await put).revision).toBe(1n);
    await draining;
  });

  test("is told to health checks and on the page that says whether it is ready", async () => {
    const health = createClient(
      Health,
      createGrpcTransport({ baseUrl: server.url }),
    );
    const seen: Status[] = [];
    await each(
      (options) => health.watch({}, options),
      async ({ status }) => {
        seen.push(status);
        if (seen.length === 1) await server.drain();
        return seen.length === 2;
      },
    );
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING]);
    const ready = await fetch(`${server.url}/status/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain("the control plane is stopping");
  });
});

describe("health", () => {
  const health = () =>
    createClient(Health, createGrpcTransport({ baseUrl: server.url }));

  test("knows the server and its services, and no others", async () => {
    const services = ["", ...ADMIN_SERVICES.map(({ typeName }) => typeName)];
    for (const service of services)
      expect((await health().check({ service })).status).toBe(Status.SERVING);
    await expect(health().check({ service: "x.Y" })).rejects.toMatchObject({
      code: Code.NotFound,
    });
    const [unknown] = await take(
      (options) => health().watch({ service: "x.Y" }, options),
      1,
    );
    expect(unknown?.status).toBe(Status.SERVICE_UNKNOWN);
    expect(Object.keys((await health().list({})).statuses)).toHaveLength(
      services.length,
    );
  });

  test("tells those who watch that the server stops", async () => {
    const seen: Status[] = [];
    let first = (): void => {};
    const watching = new Promise<void>((resolve) => (first = resolve));
    const ended = (async () => {
      for await (const { status } of health().watch({})) {
        seen.push(status);
        first();
      }
    })().catch(() => {});
    await watching;
    await server.stop();
    await ended;
    expect(seen[0]).toBe(Status.SERVING);
  });
});
