import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeResource } from "../../../src/cp/catalog/resource.ts";
import type { Catalog } from "../../../src/cp/catalog/catalog.ts";
import type { Operation } from "../../../src/cp/catalog/operation.ts";
import {
  deleteNamed,
  openCatalog,
  put,
  refusal,
} from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const service = (n: number, host = "a.example") =>
  put(resource("service", { id: id(n), name: `s${n}`, host }));

/** Revision 1: s1, s2. Revision 2: s1 changed, s2 gone, s3 there. */
async function twoRevisions(catalog: Catalog): Promise<void> {
  await catalog.transact([service(1), service(2)], {
    author: "ann",
    message: "begin",
  });
  await catalog.transact([
    service(1, "b.example"),
    deleteNamed("service", "s2"),
    service(3),
  ]);
}

describe("history", () => {
  test("tells newest first who did what, when", async () => {
    const { catalog, clock } = await openCatalog();
    await twoRevisions(catalog);
    const { revisions, nextPageToken } = await catalog.history();
    expect(nextPageToken).toBe("");
    expect(revisions[0]?.changes).toEqual([
      { kind: "service", id: id(1), name: "s1", action: "update" },
      { kind: "service", id: id(2), name: "s2", action: "delete" },
      { kind: "service", id: id(3), name: "s3", action: "create" },
    ]);
    expect(revisions[1]).toMatchObject({
      cursor: { revision: 1n },
      author: "ann",
      message: "begin",
      timeMs: clock.now(),
      changeCount: 2,
    });
  });

  test("comes in pages", async () => {
    const { catalog } = await openCatalog();
    for (let i = 1; i <= 5; i++) await catalog.transact([service(i)]);
    const pages: bigint[][] = [];
    let pageToken = "";
    do {
      const page = await catalog.history({ pageSize: 2, pageToken });
      pages.push(page.revisions.map(({ cursor }) => cursor.revision));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages).toEqual([[5n, 4n], [3n, 2n], [1n]]);
    expect(
      (await refusal(catalog.history({ pageToken: "WyJyZXZpc2lvbnMiLCJ4Il0" })))
        .code,
    ).toBe("invalid_argument");
  });

  test("lists the first 1000 changes of a revision, and counts all", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(Array.from({ length: 1100 }, (_, i) => service(i)));
    const [revision] = (await catalog.history()).revisions;
    expect(revision?.changes).toHaveLength(1000);
    expect(revision?.changeCount).toBe(1100);
    expect((await catalog.revision(1n)).changes).toHaveLength(1100);
  }, 30_000);
});

describe("one revision", () => {
  test("has what each resource was before and after", async () => {
    const { catalog } = await openCatalog();
    await twoRevisions(catalog);
    const { revision, changes } = await catalog.revision(2n);
    expect(revision.cursor).toEqual(catalog.head.cursor);
    const host = (value: Uint8Array | undefined): string | undefined =>
      value &&
      (decodeResource(value).kind.value as { readonly host: string }).host;
    expect(
      changes.map(({ change, before, after }) => [
        change.name,
        host(before),
        host(after),
      ]),
    ).toEqual([
      ["s1", "a.example", "b.example"],
      ["s2", "a.example", undefined],
      ["s3", undefined, "a.example"],
    ]);
  });

  test("that is not there is NOT_FOUND", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1)]);
    expect(await refusal(catalog.revision(2n))).toEqual({
      code: "not_found",
      violations: [
        " : revision: there is no revision 2: the head is revision 1",
      ],
    });
    expect((await refusal(catalog.revision(0n))).code).toBe("not_found");
  });
});

describe("a diff", () => {
  test("is what came of all revisions in between, in both directions", async () => {
    const { catalog } = await openCatalog();
    await twoRevisions(catalog);
    await catalog.transact([service(1), deleteNamed("service", "s3")]);
    const summary = async (from: bigint, to?: bigint) => {
      const diff = await catalog.diff(from, to);
      return diff.changes.map(
        ({ change }) => `${change.action} ${change.name}`,
      );
    };
    expect(await summary(1n)).toEqual(["delete s2"]);
    expect(await summary(3n, 1n)).toEqual(["create s2"]);
    expect(await summary(0n)).toEqual(["create s1"]);
    expect(await summary(2n, 2n)).toEqual([]);
    expect(await summary(1n, 2n)).toEqual([
      "update s1",
      "delete s2",
      "create s3",
    ]);
    const { from, to } = await catalog.diff(0n, 3n);
    expect([from.revision, to]).toEqual([0n, catalog.head.cursor]);
    expect((await refusal(catalog.diff(1n, 9n))).code).toBe("not_found");
  });
});

describe("a rollback", () => {
  test("is a new revision with the old content, and the old root", async () => {
    const { catalog } = await openCatalog();
    await twoRevisions(catalog);
    const { revision } = await catalog.revision(1n);
    const result = await catalog.rollback(1n, { author: "bob" });
    expect(result.revision).toBe(3n);
    expect(result.head.cursor.root).toBe(revision.cursor.root);
    expect(
      result.changes.map(({ action, name }) => `${action} ${name}`),
    ).toEqual(["update s1", "create s2", "delete s3"]);
    // What it brought back can be found, and what it took away cannot.
    await catalog.get("service", { name: "s2" });
    expect((await refusal(catalog.get("service", { name: "s3" }))).code).toBe(
      "not_found",
    );
    expect((await catalog.revision(3n)).revision.author).toBe("bob");
  });

  test("to the head changes nothing; to the empty state deletes all", async () => {
    const { catalog } = await openCatalog();
    await twoRevisions(catalog);
    expect((await catalog.rollback(2n)).changes).toEqual([]);
    const result = await catalog.rollback(0n);
    expect(result.head.snapshot.entryCount).toBe(0);
    expect(result.head.snapshot.root).toBe(result.head.cursor.root);
  });

  test("undoes what is planned before it in the same group", async () => {
    const { catalog, store } = await openCatalog();
    await twoRevisions(catalog);
    const [, back] = await Promise.all([
      catalog.transact([service(9), deleteNamed("service", "s1")]),
      catalog.rollback(1n),
    ]);
    expect(store.groups.at(-1)).toBe(2);
    expect(back.revision).toBe(4n);
    expect(back.head.cursor.root).toBe(
      (await catalog.revision(1n)).revision.cursor.root,
    );
  });

  test("obeys dry run, expected revision and the guard against mass deletion", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1)]);
    await catalog.transact(Array.from({ length: 50 }, (_, i) => service(i)));
    const dry = await catalog.rollback(1n, { dryRun: true });
    expect(dry.changes).toHaveLength(49);
    expect(catalog.head.cursor.revision).toBe(2n);
    expect(
      (await refusal(catalog.rollback(1n, { expectedRevision: 1n }))).code,
    ).toBe("aborted");
    expect((await refusal(catalog.rollback(1n))).code).toBe(
      "failed_precondition",
    );
    await catalog.rollback(1n, { allowMassDelete: true });
    expect(catalog.head.snapshot.entryCount).toBe(1);
  });

  test("to what never was is NOT_FOUND", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1)]);
    expect((await refusal(catalog.rollback(2n))).code).toBe("not_found");
  });

  test("to what is not kept any more is OUT_OF_RANGE, with how far it goes back", async () => {
    const { catalog, store } = await openCatalog();
    for (let i = 1; i <= 4; i++) await catalog.transact([service(i)]);
    await store.compact("default", { before: 2n, limit: 10 });
    for (const old of [0n, 1n])
      expect(
        await refusal(catalog.rollback(old, { allowMassDelete: true })),
      ).toMatchObject({
        code: "out_of_range",
        violations: [
          expect.stringMatching(
            /revision 1 is not kept any more: the oldest that is kept is revision 2, and the head is revision 4/,
          ) as string,
        ],
      });
    expect((await refusal(catalog.diff(1n))).code).toBe("out_of_range");
    expect(await catalog.history({ pageSize: 3 })).toMatchObject({
      revisions: [{}, {}, {}],
      nextPageToken: "",
    });
    expect((await catalog.history({ pageSize: 2 })).nextPageToken).not.toBe("");
    expect((await catalog.rollback(2n)).head.snapshot.entryCount).toBe(2);
  });

  test("always has the root of the revision it goes back to", async () => {
    const step: fc.Arbitrary<Operation[]> = fc.array(
      fc
        .tuple(fc.nat(5), fc.constantFrom("a.example", "b.example", ""))
        .map(([n, host]): Operation =>
          host === ""
            ? { type: "delete", kind: "service", id: id(n) }
            : service(n, host),
        ),
      { minLength: 1, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.nat(8),
        async (steps, n) => {
          const { catalog } = await openCatalog();
          const roots = [catalog.head.cursor.root];
          for (const operations of steps)
            try {
              const { head } = await catalog.transact(operations);
              roots[Number(head.cursor.revision)] = head.cursor.root;
            } catch {
              // Deleting what is not there.
            }
          const target = n % roots.length;
          const { head } = await catalog.rollback(BigInt(target));
          expect(head.cursor.root).toBe(roots[target]);
        },
      ),
      { numRuns: 15 },
    );
  }, 30_000);
});

test("a record can be read once its revision is the head, and not before", async () => {
  const { catalog } = await openCatalog();
  await twoRevisions(catalog);
  expect((await catalog.record(2n))?.cursor.revision).toBe(2n);
  expect(await catalog.record(3n)).toBeUndefined();
});
