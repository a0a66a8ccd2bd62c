import { describe, expect, test } from "vitest";
import type { RevisionRecord } from "../../../src/cp/store/store.ts";
import type { Head } from "../../../src/cp/catalog/state.ts";
import {
  deleteNamed,
  openCatalog,
  put,
  refusal,
} from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const service = (n: number, host = "a.example") =>
  put(resource("service", { id: id(n), name: `s${n}`, host }));
const invalid = put(resource("service", { name: "bad", host: "" }));

describe("an expected revision", () => {
  test("that is not the head aborts, with both", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1)], { expectedRevision: 0n });
    await catalog.transact([service(2)], { expectedRevision: 1n });
    expect(
      await refusal(catalog.transact([service(3)], { expectedRevision: 1n })),
    ).toEqual({
      code: "aborted",
      violations: [
        " : expected_revision: revision 1 was expected, and the head is revision 2: read again what is to be changed, then try again",
      ],
    });
  });

  test("lets one of several in the same group through", async () => {
    const { catalog, store } = await openCatalog();
    const outcomes = await Promise.allSettled(
      [1, 2, 3].map((n) =>
        catalog.transact([service(n)], { expectedRevision: 0n }),
      ),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
    ]);
    expect(store.groups).toEqual([1]);
  });
});

describe("an idempotency key", () => {
  const options = { idempotencyKey: "k", requestDigest: "d" };

  test("gives a repeated request its first answer, also after a restart", async () => {
    const opened = await openCatalog();
    const first = await opened.catalog.transact([service(1)], options);
    await opened.catalog.transact([deleteNamed("service", "s1")]);
    const { catalog } = await opened.reopen();
    const second = await catalog.transact([service(1)], options);
    expect({ ...second, head: undefined }).toEqual({
      ...first,
      head: undefined,
    });
    expect(catalog.head.cursor.revision).toBe(2n);
    expect(second.head).toEqual(catalog.head);
  });

  test("also when the first changed nothing", async () => {
    const opened = await openCatalog();
    await opened.catalog.transact([service(1)]);
    await opened.catalog.transact([service(1)], options);
    await opened.catalog.transact([service(1, "b.example")]);
    const { catalog } = await opened.reopen();
    const again = await catalog.transact([service(1)], options);
    expect(again).toMatchObject({ revision: 1n, changes: [] });
    expect(catalog.head.cursor.revision).toBe(2n);
  });

  test("is for 24 hours", async () => {
    const { catalog, clock } = await openCatalog();
    await catalog.transact([service(1)], options);
    clock.advance(24 * 60 * 60 * 1000 + 1);
    await catalog.transact([service(1, "b.example")], options);
    expect(catalog.head.cursor.revision).toBe(2n);
  });

  test("of another request is refused", async () => {
    const { catalog } = await openCatalog();
    const [first, same, other] = await Promise.allSettled([
      catalog.transact([service(1)], options),
      catalog.transact([service(1)], options),
      catalog.transact([service(2)], { ...options, requestDigest: "e" }),
    ]);
    expect(first).toMatchObject({ value: { revision: 1n } });
    expect(same).toEqual(first);
    expect(other).toMatchObject({ reason: { code: "invalid_argument" } });
    const refused = await refusal(
      catalog.transact([service(2)], { ...options, requestDigest: "e" }),
    );
    expect(refused.violations[0]).toMatch(
      /^ : idempotency_key: "k" was used for another request \(2030-01-01T/,
    );
  });

  test("of a request that was refused can be used again", async () => {
    const { catalog } = await openCatalog();
    await refusal(catalog.transact([invalid], options));
    expect((await catalog.transact([service(1)], options)).revision).toBe(1n);
  });

  test("comes before the expected revision: the repetition of what moved the head is no conflict", async () => {
    const { catalog } = await openCatalog();
    const guarded = { ...options, expectedRevision: 0n };
    await catalog.transact([service(1)], guarded);
    expect((await catalog.transact([service(1)], guarded)).revision).toBe(1n);
  });
});

test("a dry run answers the whole plan and changes nothing", async () => {
  const { catalog, store } = await openCatalog();
  await catalog.transact([service(1)]);
  const before = catalog.head;
  const result = await catalog.transact([service(1, "b.example"), service(2)], {
    dryRun: true,
    idempotencyKey: "k",
    requestDigest: "d",
  });
  expect(result).toMatchObject({
    revision: 2n,
    changes: [{ action: "update" }, { action: "create" }],
    keys: [`service/${id(1)}`, `service/${id(2)}`],
  });
  expect(catalog.head).toEqual(before);
  expect(store.groups).toEqual([1]);
  expect(
    (await catalog.transact([service(1)], { dryRun: true })).revision,
  ).toBe(1n);
  const refused = await catalog.transact([invalid, service(3)], {
    dryRun: true,
  });
  expect(refused.dryRun?.refusal).toMatchObject({
    code: "invalid_argument",
    violations: [{ name: "bad", field: "host", reason: "is required" }],
  });
  // What would be done if it were not for that.
  expect(refused.changes.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["bad", "s3"]),
  );
  expect(catalog.head).toEqual(before);
});

describe("a dry run beside writes", () => {
  const upstream = put(resource("upstream", { id: id(1), name: "u" }));
  const target = (n: number) =>
    put(
      resource("target", {
        id: id(n),
        upstream: { id: id(1) },
        target: `t${n}.example:80`,
      }),
    );

  test("keeps no write waiting, however long it takes, and is of the state that it began with", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([upstream, target(2), service(3)]);
    let written = false;
    let begin = (): void => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    function* operations() {
      begin();
      while (!written) yield service(3, "b.example");
      yield deleteNamed("upstream", "u");
      yield put(resource("service", { name: "s4", host: "c.example" }));
    }
    const trial = catalog.transact(operations, { dryRun: true });
    await begun;
    const write = await catalog.transact([
      target(5),
      deleteNamed("service", "s3"),
      service(4),
    ]);
    written = true;
    expect(write.revision).toBe(2n);
    const { changes, revision } = await trial;
    expect(revision).toBe(2n);
    expect(
      changes.map(({ action, kind, name }) => [action, kind, name]),
    ).toEqual([
      ["update", "service", "s3"],
      ["create", "service", "s4"],
      ["delete", "target", "t2.example:80"],
      ["delete", "upstream", "u"],
    ]);
    expect(catalog.head.cursor.revision).toBe(2n);
  });

  test("waits for the one before it, and for the writes before it", async () => {
    const { catalog } = await openCatalog();
    const order: string[] = [];
    const told = async (
      name: string,
      done: Promise<{ revision: bigint }>,
    ): Promise<void> => {
      const { revision } = await done;
      order.push(`${name}: ${revision}`);
    };
    const dry = (name: string, n: number) =>
      told(name, catalog.transact([service(n)], { dryRun: true }));
    const all = [
      told("write", catalog.transact([service(1)])),
      dry("first", 2),
      dry("second", 1),
    ];
    await Promise.all(all);
    expect(order).toEqual(["write: 1", "first: 2", "second: 1"]);
  });

  test("is refused when 64 wait already, and no write is for that", async () => {
    const { catalog } = await openCatalog();
    const dry = () => catalog.transact([service(1)], { dryRun: true });
    const waiting = Array.from({ length: 64 }, dry);
    const refused = expect(dry()).rejects.toMatchObject({
      code: "resource_exhausted",
      message: expect.stringMatching(/^64 dry runs .* try again/) as string,
    });
    const write = catalog.transact([service(2)]);
    await refused;
    expect((await write).revision).toBe(1n);
    await Promise.all(waiting);
    expect((await dry()).changes).toHaveLength(1);
  });

  test("is refused with those before it when the control plane stops, and one under way is waited for", async () => {
    const { catalog } = await openCatalog();
    let closed = false;
    let begin = (): void => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    function* operations() {
      begin();
      for (let i = 0; !closed && i < 10_000; i++) yield service(1);
    }
    const first = catalog.transact(operations, { dryRun: true });
    const second = catalog.transact([service(2)], { dryRun: true });
    await begun;
    const closing = catalog.close().then(() => "closed");
    closed = true;
    expect((await refusal(second)).code).toBe("unavailable");
    expect(await Promise.race([first.then(() => "planned"), closing])).toBe(
      "planned",
    );
    expect(await closing).toBe("closed");
  });
});

describe("group commit", () => {
  test("what waits shares a write, each with its revision, and one that fails does not harm its neighbours", async () => {
    const { catalog, store } = await openCatalog();
    const release = store.hold();
    const first = catalog.transact([service(1)]);
    await expect.poll(() => store.groups).toEqual([1]);
    // The first is on its way to the disk; these wait together.
    const waiting = Promise.allSettled([
      catalog.transact([service(2)]),
      catalog.transact([invalid, service(3)]),
      catalog.transact([
        put(
          resource("route", {
            name: "r",
            paths: ["/"],
            service: { name: "s2" },
          }),
        ),
      ]),
      catalog.transact([service(2)]),
    ]);
    release();
    await first;
    const outcomes = await waiting;
    expect(
      outcomes.map((outcome) =>
        outcome.status === "fulfilled"
          ? [outcome.value.revision, outcome.value.changes.length]
          : (outcome.reason as Error).message,
      ),
    ).toEqual([[2n, 1], 'service "bad": host: is required', [3n, 1], [3n, 0]]);
    expect(store.groups).toEqual([1, 2]);
    expect(catalog.head.snapshot.get(`service/${id(3)}`)).toBeUndefined();
    const history = await catalog.history();
    expect(
      history.revisions.map(({ cursor, changeCount }) => [
        cursor.revision,
        changeCount,
      ]),
    ).toEqual([
      [3n, 1],
      [2n, 1],
      [1n, 1],
    ]);
  });

  test("at most 64 at a time", async () => {
    const { catalog, store } = await openCatalog();
    await Promise.all(
      Array.from({ length: 150 }, (_, i) => catalog.transact([service(i)])),
    );
    expect(store.groups).toEqual([64, 64, 22]);
    expect(catalog.head.cursor.revision).toBe(150n);
  });

  test("readers see only what is durable", async () => {
    const { catalog, store } = await openCatalog();
    const release = store.hold();
    const writing = catalog.transact([service(1)]);
    await expect.poll(() => store.groups).toEqual([1]);
    expect(catalog.head.cursor.revision).toBe(0n);
    expect((await refusal(catalog.get("service", { name: "s1" }))).code).toBe(
      "not_found",
    );
    release();
    await writing;
    expect((await catalog.get("service", { name: "s1" })).revision).toBe(1n);
  });
});

describe("a commit that fails", () => {
  test("fails all that share it, and nothing has moved", async () => {
    const { catalog, store } = await openCatalog();
    await catalog.transact([service(1)]);
    const before = catalog.head;
    store.failures.push("lost");
    const outcomes = await Promise.allSettled([
      catalog.transact([service(2)]),
      catalog.transact([invalid]),
      catalog.transact([service(1)]),
    ]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ reason: { code: "unavailable" } });
    expect(catalog.head).toEqual(before);
    expect((await refusal(catalog.get("service", { name: "s2" }))).code).toBe(
      "not_found",
    );
    const result = await catalog.transact([service(3)]);
    expect(result.revision).toBe(2n);
    expect(result.changes).toHaveLength(1);
  });

  test("but was written all the same counts, before the next is planned", async () => {
    const opened = await openCatalog();
    const { catalog, store } = opened;
    const seen: bigint[] = [];
    catalog.onCommit((_head, records) => {
      for (const { cursor } of records) seen.push(cursor.revision);
    });
    await catalog.transact([service(1)]);
    store.failures.push("written");
    const options = { idempotencyKey: "k", requestDigest: "d" };
    expect((await refusal(catalog.transact([service(2)], options))).code).toBe(
      "unavailable",
    );
    expect(catalog.head.cursor.revision).toBe(1n);
    // The caller tries again with the same key, and gets the answer that was lost.
    const again = await catalog.transact([service(2)], options);
    expect(again).toMatchObject({
      revision: 2n,
      changes: [{ action: "create" }],
    });
    const other = await catalog.transact([
      put(resource("route", { paths: ["/"], service: { name: "s2" } })),
    ]);
    expect(other.revision).toBe(3n);
    expect(seen).toEqual([1n, 2n, 3n]);
    const reopened = await opened.reopen();
    expect(reopened.catalog.head.cursor).toEqual(other.head.cursor);
  });

  test("keeps on failing while the store cannot be read, and heals after", async () => {
    const { catalog, store } = await openCatalog();
    store.failures.push("lost");
    await refusal(catalog.transact([service(1)]));
    store.unreadable = true;
    expect((await refusal(catalog.transact([service(1)]))).code).toBe(
      "unavailable",
    );
    store.unreadable = false;
    expect((await catalog.transact([service(1)])).revision).toBe(1n);
  });
});

describe("listeners", () => {
  test("hear of each batch once, in order, after the head has moved", async () => {
    const { catalog } = await openCatalog();
    const heard: { head: Head; records: readonly RevisionRecord[] }[] = [];
    const stop = catalog.onCommit((head, records) => {
      expect(catalog.head).toBe(head);
      heard.push({ head, records });
    });
    await Promise.all([
      catalog.transact([service(1)], { author: "ann", message: "one" }),
      catalog.transact([service(2)]),
    ]);
    await catalog.transact([service(2)]);
    await catalog.transact([deleteNamed("service", "s1")]);
    stop();
    await catalog.transact([service(3)]);
    expect(
      heard.map(({ records }) => records.map((r) => r.cursor.revision)),
    ).toEqual([[1n, 2n], [3n]]);
    expect(heard[0]?.records[0]).toMatchObject({
      author: "ann",
      message: "one",
      timeMs: Date.UTC(2030, 0, 1),
    });
    expect(heard[1]?.head.cursor.revision).toBe(3n);
  });

  test("that fail do not stop the others, nor the queue", async () => {
    const { catalog } = await openCatalog();
    let heard = 0;
    catalog.onCommit(() => {
      throw new Error("boom");
    });
    catalog.onCommit(() => heard++);
    await catalog.transact([service(1)]);
    await catalog.transact([service(2)]);
    expect(heard).toBe(2);
  });
});

test("the last 64 states are retained, and share what did not change", async () => {
  const { catalog } = await openCatalog();
  const heads = [catalog.head];
  for (let i = 1; i <= 70; i++)
    heads.push((await catalog.transact([service(i)])).head);
  const [oldest] = heads;
  expect(oldest && catalog.retained(oldest.cursor)).toBeUndefined();
  for (const head of heads.slice(-64))
    expect(catalog.retained(head.cursor)?.root).toBe(head.cursor.root);
  expect(
    catalog.retained({ ...catalog.head.cursor, epoch: "other" }),
  ).toBeUndefined();
});

test("a closed catalog refuses what comes and what waits, after what is being written", async () => {
  const opened = await openCatalog();
  const { catalog, store } = opened;
  const release = store.hold();
  const writing = catalog.transact([service(1)]);
  await expect.poll(() => store.groups).toEqual([1]);
  const waiting = refusal(catalog.transact([service(2)]));
  const closing = catalog.close();
  expect((await waiting).code).toBe("unavailable");
  release();
  expect((await writing).revision).toBe(1n);
  await closing;
  expect((await refusal(catalog.transact([service(3)]))).code).toBe(
    "unavailable",
  );
});

test("10,000 operations in one transaction let the event loop turn every few hundred", async () => {
  const turns: number[] = [];
  const { catalog } = await openCatalog({
    onYield: (entries) => turns.push(entries),
  });
  const operations = [
    put(resource("service", { id: id(0), name: "s", host: "a.example" })),
    ...Array.from({ length: 9_999 }, (_, i) =>
      put(
        resource("route", {
          id: id(i),
          name: `r${i}`,
          paths: [`/${i}`],
          service: { name: "s" },
        }),
      ),
    ),
  ];
  turns.length = 0;
  const result = await catalog.transact(operations);
  expect(result.changes).toHaveLength(10_000);
  // An operation weighs 16 entries, so no more than some 300 of them come between two turns.
  expect(turns.length).toBeGreaterThan(10_000 / 300);
  expect(Math.max(...turns)).toBeLessThan(4096 + 1024);
}, 60_000);
