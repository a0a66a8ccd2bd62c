import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  TransactRequestSchema,
  type WatchResponse,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  each,
  PROTOCOLS,
  startAdminServer,
  take,
  type AdminServer,
} from "../../support/admin-server.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());
vi.setConfig({ testTimeout: 30_000 });

async function put(name: string, extra = {}): Promise<bigint> {
  const { revision } = await server.config.put({
    resource: {
      kind: { case: "service", value: { name, host: "h.internal", ...extra } },
    },
  });
  return revision;
}

/** `heartbeat 3`, or `3 create a,update b`. */
function told({ event }: WatchResponse): string {
  if (event.case === "heartbeat") return `heartbeat ${event.value.revision}`;
  const { revision, changes = [] } = event.value ?? {};
  const all = changes.map(({ change }) => `${change?.action} ${change?.name}`);
  return `${revision?.cursor?.revision} ${all.join(",")}`;
}

async function code(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
}

async function until(condition: () => boolean): Promise<void> {
  await eventually(condition, condition.toString());
}

describe("a watch", () => {
  test("is told of a new epoch at once, and goes on from what it saw of the old one", async () => {
    await put("a");
    await put("b");
    const { epoch } = server.catalog.head.cursor;
    const epochs: (string | undefined)[] = [];
    await each(
      (options) => server.config.watch({}, options),
      async ({ event }) => {
        if (event.case === "heartbeat") epochs.push(event.value.epoch);
        if (epochs.length === 1) await server.config.adopt({});
        return epochs.length === 2;
      },
    );
    const adopted = server.catalog.head.cursor.epoch;
    expect(epochs).toEqual([epoch, adopted]);
    await put("c");
    const seen = await take(
      (options) => server.config.watch({ epoch, afterRevision: 1n }, options),
      3,
    );
    expect(seen.map(told)).toEqual(["heartbeat 3", "2 create b", "3 create c"]);
    // The old epoch never had a third revision in this history.
    expect(
      await code(
        take(
          (options) =>
            server.config.watch({ epoch, afterRevision: 3n }, options),
          1,
        ),
      ),
    ).toBe("OutOfRange");
  });

  test("starts with the head and tells what is committed from then on", async () => {
    await put("before");
    const seen: string[] = [];
    await each(
      (options) => server.config.watch({}, options),
      async (message) => {
        seen.push(told(message));
        if (seen.length === 1) await put("a");
        if (seen.length === 2) await put("a", { port: 81 });
        if (seen.length === 3)
          await server.config.delete({
            kind: "service",
            by: { case: "name", value: "a" },
          });
        return seen.length === 4;
      },
    );
    expect(seen).toEqual([
      "heartbeat 1",
      "2 create a",
      "3 update a",
      "4 delete a",
    ]);
  });

  test("has each resource before and after its change", async () => {
    await put("a");
    await put("a", { port: 81 });
    const [, , update] = await take(
      (options) => server.config.watch({ afterRevision: 0n }, options),
      3,
    );
    const [change] =
      update!.event.case === "revision" ? update!.event.value.changes : [];
    expect(change?.before?.kind.value).toMatchObject({ name: "a", port: 80 });
    expect(change?.after?.kind.value).toMatchObject({ name: "a", port: 81 });
    expect(update!.event.value).toMatchObject({
      revision: { changeCount: 1, cursor: { revision: 2n } },
      more: false,
    });
  });

  test("resumes after any revision without a gap or a repetition, while others commit", async () => {
    for (let i = 0; i < 10; i++) await put(`s${i}`);
    const writing = (async () => {
      for (let i = 10; i < 30; i++) await put(`s${i}`);
    })();
    const seen: bigint[] = [];
    let after = 3n;
    // Cut off and resumed again and again, by each protocol in turn.
    for (let i = 0; after < 30n; i++) {
      const { config } = server.clients(PROTOCOLS[i % PROTOCOLS.length]!);
      await each(
        (options) => config.watch({ afterRevision: after }, options),
        ({ event }) => {
          if (event.case !== "revision") return false;
          after = event.value.revision!.cursor!.revision;
          seen.push(after);
          return seen.length % 5 === 0 || after === 30n;
        },
      );
    }
    await writing;
    expect(seen).toEqual(Array.from({ length: 27 }, (_, i) => BigInt(i + 4)));
  });

  test("tells the head after 10 s without a revision", async () => {
    const clock = new ManualClock();
    server = await startAdminServer(stack, { clock });
    const seen: string[] = [];
    const times: number[] = [];
    const watching = each(
      (options) => server.config.watch({}, options),
      (message) => {
        times.push(clock.now());
        return seen.push(told(message)) === 3;
      },
    );
    for (const count of [1, 2]) {
      await until(() => seen.length === count);
      await until(() => {
        clock.advance(500);
        return seen.length > count;
      });
    }
    await watching;
    const [first = 0, second = 0, third = 0] = times;
    expect(second - first).toBeGreaterThanOrEqual(10_000);
    expect(third - second).toBeGreaterThanOrEqual(10_000);
    expect(seen).toEqual(["heartbeat 0", "heartbeat 0", "heartbeat 0"]);
  });

  test("of another history, of the future or of forgotten revisions is out of range", async () => {
    await put("a");
    const { epoch } = server.catalog.head.cursor;
    const first = (request: object): Promise<string> =>
      code(take((options) => server.config.watch(request, options), 1));
    expect(await first({ afterRevision: 1n, epoch })).toBe("ok");
    expect(await first({ afterRevision: 1n, epoch: "other" })).toBe(
      "OutOfRange",
    );
    expect(await first({ afterRevision: 2n })).toBe("OutOfRange");
    await put("b");
    await server.store.compact("default", { before: 2n, limit: 1 });
    expect(await first({ afterRevision: 0n })).toBe("OutOfRange");
    expect(await first({ afterRevision: 1n })).toBe("ok");
  });

  test("sends a large revision in several messages", async () => {
    const tags = Array.from(
      { length: 50 },
      (_, i) => `tag-${i}-${"x".repeat(900)}`,
    );
    await server.config.transactStream(
      (async function* () {
        const bytes = toBinary(
          TransactRequestSchema,
          create(TransactRequestSchema, {
            operations: Array.from({ length: 150 }, (_, i) => ({
              operation: {
                case: "put" as const,
                value: {
                  kind: {
                    case: "service" as const,
                    value: { name: `s${i}`, host: "h", tags },
                  },
                },
              },
            })),
          }),
        );
        for (let at = 0; at < bytes.length; at += 1 << 18)
          yield { data: bytes.subarray(at, at + (1 << 18)) };
      })(),
    );
    for (const protocol of ["grpc", "connect-json"] as const) {
      const names = new Set<string>();
      let messages = 0;
      await each(
        (options) =>
          server.clients(protocol).config.watch({ afterRevision: 0n }, options),
        ({ event }) => {
          if (event.case !== "revision") return false;
          messages++;
          expect(event.value.revision?.changeCount).toBe(150);
          for (const { change } of event.value.changes) names.add(change!.name);
          return !event.value.more;
        },
      );
      expect(names.size).toBe(150);
      expect(messages).toBeGreaterThan(1);
    }
  });
});

describe("a client that watches and is slow or gone", () => {
  test("costs no memory for what it has not read, and gets all of it later", async () => {
    const leave = new AbortController();
    const stream = server
      .clients("grpc")
      .config.watch({}, { signal: leave.signal });
    const reader = stream[Symbol.asyncIterator]();
    expect(told((await reader.next()).value as WatchResponse)).toBe(
      "heartbeat 0",
    );
    const read: bigint[] = [];
    let asked = 0;
    const record = server.catalog.record.bind(server.catalog);
    Object.assign(server.catalog, {
      record: (revision: bigint) => {
        asked++;
        return record(revision);
      },
    });
    // Random, as what can be compressed would not fill any buffer.
    const tags = Array.from({ length: 60 }, () =>
      randomBytes(500).toString("hex"),
    );
    for (let i = 0; i < 60; i++) await put(`s${i}`, { tags });
    // The store was asked for a few, not for each commit: the others were not even read.
    const askedWhileSlow = asked;
    while (read.length < 60) {
      const { event } = (await reader.next()).value as WatchResponse;
      if (event.case === "revision")
        read.push(event.value.revision!.cursor!.revision);
    }
    expect(read).toEqual(Array.from({ length: 60 }, (_, i) => BigInt(i + 1)));
    expect(askedWhileSlow).toBeLessThan(60);
    leave.abort();
  });

  test.each(PROTOCOLS)("leaves nothing behind by %s", async (protocol) => {
    const listening = watchCommitListeners(server);
    for (let i = 0; i < 5; i++) {
      const { config } = server.clients(protocol);
      await take((options) => config.watch({}, options), 1);
      const abort = new AbortController();
      const calling = take(() => config.watch({}, { signal: abort.signal }), 2);
      await until(() => listening() > 0);
      abort.abort();
      await expect(calling).rejects.toThrow();
    }
    await until(() => listening() === 0);
  });
});

/** How many listen for commits. */
function watchCommitListeners({ catalog }: AdminServer): () => number {
  let count = 0;
  const onCommit = catalog.onCommit.bind(catalog);
  Object.assign(catalog, {
    onCommit: (listener: Parameters<typeof onCommit>[0]) => {
      count++;
      const stop = onCommit(listener);
      let stopped = false;
      return () => {
        if (!stopped) count--;
        stopped = true;
        stop();
      };
    },
  });
  return () => count;
}
