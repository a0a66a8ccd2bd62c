import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Operation } from "../../../src/cp/catalog/operation.ts";
import type { Head } from "../../../src/cp/catalog/state.ts";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf } from "../../../src/model/cursor.ts";
import { openCatalog, put, refusal } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const service = (number: number): Operation =>
  put(
    resource("service", {
      id: id(number),
      name: `s${number}`,
      host: "a.example",
    }),
  );

describe("adopting", () => {
  test("gives the history a new epoch that replaces the old one, and keeps content and revision, also over a restart", async () => {
    const opened = await openCatalog();
    await opened.catalog.transact([service(1)]);
    const before = opened.catalog.head;
    const adopted = await opened.catalog.adopt();
    expect(adopted.cursor).toMatchObject({
      revision: 1n,
      root: before.cursor.root,
    });
    expect(adopted.cursor.epoch).not.toBe(before.cursor.epoch);
    expect(adopted.predecessors).toEqual([before.cursor.epoch]);
    expect(opened.catalog.head).toBe(adopted);
    const { catalog } = await opened.reopen();
    expect(catalog.head.cursor).toEqual(adopted.cursor);
    expect(catalog.head.predecessors).toEqual(adopted.predecessors);
    const { revision, head } = await catalog.transact([service(2)]);
    expect(revision).toBe(2n);
    expect(head).toMatchObject({ predecessors: adopted.predecessors });
    expect(head.cursor.epoch).toBe(adopted.cursor.epoch);
  });

  test("is heard of as of a commit without records", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1)]);
    const heard: [Head, number][] = [];
    catalog.onCommit((head, records) => {
      expect(catalog.head).toBe(head);
      heard.push([head, records.length]);
    });
    const adopted = await catalog.adopt();
    expect(heard).toEqual([[adopted, 0]]);
  });

  test("takes its turn: no transaction is in flight across it", async () => {
    const { catalog, store } = await openCatalog();
    const [first, adopted, second] = await Promise.all([
      catalog.transact([service(1)]),
      catalog.adopt(),
      catalog.transact([service(2)]),
    ]);
    expect(adopted.cursor.revision).toBe(1n);
    expect(adopted.predecessors).toEqual([first.head.cursor.epoch]);
    expect(second.head.cursor).toMatchObject({
      epoch: adopted.cursor.epoch,
      revision: 2n,
    });
    // The two could have shared a write.
    expect(store.groups).toEqual([1, 1]);
  });

  test("an epoch that was replaced already replaces nothing, so that a request can be repeated", async () => {
    const { catalog } = await openCatalog();
    const { epoch } = catalog.head.cursor;
    const adopted = await catalog.adopt(epoch);
    expect(await catalog.adopt(epoch)).toBe(adopted);
    expect(catalog.head).toBe(adopted);
    const { violations, code } = await refusal(catalog.adopt("x"));
    expect(code).toBe("failed_precondition");
    expect(violations[0]).toContain('epoch: "x" is no epoch of this history');
    expect(catalog.head).toBe(adopted);
  });

  test("when the disk fails, nothing or all of it has happened, and the next write goes on from there", async () => {
    const { catalog, store } = await openCatalog();
    await catalog.transact([service(1)]);
    const { epoch } = catalog.head.cursor;
    store.failures.push("lost");
    await expect(catalog.adopt()).rejects.toMatchObject({
      code: "unavailable",
    });
    const second = await catalog.transact([service(2)]);
    expect(second.head.cursor.epoch).toBe(epoch);

    store.failures.push("written");
    await expect(catalog.adopt()).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(catalog.head.cursor.epoch).toBe(epoch);
    const heard: number[] = [];
    catalog.onCommit((_head, records) => heard.push(records.length));
    const third = await catalog.transact([service(3)]);
    expect(third.head.predecessors).toEqual([epoch]);
    expect(third.revision).toBe(3n);
    expect(heard).toEqual([0, 1]);
  });

  test("leaves the history readable and a rollback possible across it", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1)]);
    const { epoch } = catalog.head.cursor;
    await catalog.transact([service(2)]);
    await catalog.adopt();
    await catalog.transact([service(3)]);
    expect((await catalog.revision(1n)).revision.cursor.epoch).toBe(epoch);
    expect((await catalog.diff(0n)).from.epoch).toBe(epoch);
    const { head } = await catalog.rollback(1n);
    expect(head.cursor.revision).toBe(4n);
    expect(head.snapshot.entryCount).toBe(1);
  });
});

describe("a state is known", () => {
  test(
    "when the history went through it, under whichever epoch it had then, and no other state is",
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom("commit", "adopt"), { maxLength: 12 }),
          fc.boolean(),
          async (steps, reopened) => {
            const opened = await openCatalog();
            const states: Cursor[] = [opened.catalog.head.cursor];
            for (const [i, step] of steps.entries()) {
              if (step === "commit")
                await opened.catalog.transact([service(i)]);
              else await opened.catalog.adopt();
              states.push(opened.catalog.head.cursor);
            }
            // What is retained is forgotten with a restart.
            const { catalog } = reopened ? await opened.reopen() : opened;
            const name = ({ epoch, revision, root }: Cursor): string =>
              `${epoch} ${revision} ${root}`;
            const known = new Set(states.map(name));
            const epochs = new Set([...states.map((s) => s.epoch), "foreign"]);
            const roots = new Set([
              ...states.map((s) => s.root),
              "0".repeat(64),
            ]);
            for (const epoch of epochs)
              for (const root of roots)
                for (
                  let at = 0n;
                  at <= catalog.head.cursor.revision + 1n;
                  at++
                ) {
                  const cursor = cursorOf(epoch, at, root);
                  expect([name(cursor), await catalog.knows(cursor)]).toEqual([
                    name(cursor),
                    known.has(name(cursor)),
                  ]);
                }
          },
        ),
        { numRuns: 30 },
      ),
    60_000,
  );

  test("also when its revision is not kept any more", async () => {
    const opened = await openCatalog();
    await opened.catalog.transact([service(1)]);
    const { cursor } = opened.catalog.head;
    await opened.catalog.transact([service(2)]);
    const { catalog, store } = await opened.reopen();
    Object.assign(store, { record: () => Promise.resolve(undefined) });
    expect(await catalog.knows(cursor)).toBe(true);
    expect(await catalog.knows({ ...cursor, epoch: "foreign" })).toBe(false);
  });

  test("a failure to read is told, and not remembered", async () => {
    const opened = await openCatalog();
    await opened.catalog.transact([service(1)]);
    const { cursor } = opened.catalog.head;
    await opened.catalog.transact([service(2)]);
    const { catalog, store } = await opened.reopen();
    const record = store.record.bind(store);
    let failing = true;
    Object.assign(store, {
      record: (...args: Parameters<typeof record>) =>
        failing ? Promise.reject(new Error("no disk")) : record(...args),
    });
    await expect(catalog.knows(cursor)).rejects.toThrow("no disk");
    failing = false;
    expect(await catalog.knows(cursor)).toBe(true);
  });
});
