import { describe, expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { KINDS, kindOfResource } from "../../../src/model/kinds.ts";
import { openCatalog, put, refusal } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const service = (n: number, tags: readonly string[] = []) =>
  put(
    resource("service", {
      id: id(n),
      name: `s${n}`,
      host: "a.example",
      tags: [...tags],
    }),
  );

const names = (resources: readonly Resource[]): readonly string[] =>
  resources.map(({ kind }) => (kind.value as { name: string }).name);

describe("getting a resource", () => {
  test("gives it with its times, in seconds, as of the head", async () => {
    const { catalog, clock } = await openCatalog();
    const created = clock.now();
    await catalog.transact([service(1)]);
    clock.advance(1234);
    await catalog.transact([service(1, ["x"])]);
    const found = await catalog.get("service", { name: "s1" });
    expect(found).toMatchObject({ key: `service/${id(1)}`, revision: 2n });
    expect(found.resource.kind.value).toMatchObject({
      createdAt: created / 1000,
      updatedAt: created / 1000 + 1.234,
    });
    expect(await catalog.get("service", { id: id(1).toUpperCase() })).toEqual(
      found,
    );
  });

  test("of what is not there says so", async () => {
    const { catalog } = await openCatalog();
    expect(await refusal(catalog.get("service", { id: id(1) }))).toEqual({
      code: "not_found",
      violations: [`service ${id(1)}: : there is no service with this id`],
    });
    expect((await refusal(catalog.get("acl", { name: "g" }))).code).toBe(
      "invalid_argument",
    );
    expect((await refusal(catalog.get("acl", {}))).violations[0]).toMatch(
      /an id or a name is needed/,
    );
  });

  test("goes on, without times, while the store cannot be read", async () => {
    const { catalog, store } = await openCatalog();
    await catalog.transact([service(1)]);
    store.unreadable = true;
    const { resource: found } = await catalog.get("service", { id: id(1) });
    expect(found.kind.value).toMatchObject({ name: "s1" });
    expect(found.kind.value?.createdAt).toBeUndefined();
  });
});

describe("listing", () => {
  test("pages through a kind in the order of ids, and nothing else", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      ...[5, 3, 1, 4, 2].map((n) => service(n)),
      put(resource("route", { paths: ["/"] })),
      put(resource("upstream", { name: "u" })),
    ]);
    const pages: (readonly string[])[] = [];
    let pageToken = "";
    do {
      const page = await catalog.list({
        kind: "service",
        pageSize: 2,
        pageToken,
      });
      pages.push(names(page.resources));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages).toEqual([["s1", "s2"], ["s3", "s4"], ["s5"]]);
    expect(await catalog.list({ kind: "consumer" })).toMatchObject({
      resources: [],
      nextPageToken: "",
    });
  });

  test("a page that is exactly full is the last one when nothing follows", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1), service(2)]);
    const page = await catalog.list({ kind: "service", pageSize: 2 });
    expect(page.nextPageToken).toBe("");
  });

  test("stays in place when entries come and go between two pages", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([1, 3, 5, 7].map((n) => service(n)));
    const first = await catalog.list({ kind: "service", pageSize: 2 });
    await catalog.transact([
      { type: "delete", kind: "service", id: id(3) },
      service(2),
      service(6),
    ]);
    const second = await catalog.list({
      kind: "service",
      pageSize: 2,
      pageToken: first.nextPageToken,
    });
    expect(names(second.resources)).toEqual(["s5", "s6"]);
  });

  test("keeps to the resources that have all tags", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      service(1, ["a", "b"]),
      service(2, ["a"]),
      service(3, ["b", "c", "a"]),
      service(4),
    ]);
    const page = await catalog.list({ kind: "service", tags: ["a", "b"] });
    expect(names(page.resources)).toEqual(["s1", "s3"]);
    const first = await catalog.list({
      kind: "service",
      tags: ["a", "b"],
      pageSize: 1,
    });
    expect(names(first.resources)).toEqual(["s1"]);
    const rest = await catalog.list({
      kind: "service",
      tags: ["a", "b"],
      pageToken: first.nextPageToken,
    });
    expect(names(rest.resources)).toEqual(["s3"]);
  });

  test("gives 100 when it is not said how many, and refuses more than 1000", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(Array.from({ length: 120 }, (_, i) => service(i)));
    for (const pageSize of [0, undefined])
      expect(
        (
          await catalog.list({
            kind: "service",
            ...(pageSize === undefined ? {} : { pageSize }),
          })
        ).resources,
      ).toHaveLength(100);
    for (const pageSize of [1001, -1])
      expect(
        await refusal(catalog.list({ kind: "service", pageSize })),
      ).toEqual({
        code: "invalid_argument",
        violations: [
          ` : page_size: must be a whole number from 0 to 1000, got ${pageSize}`,
        ],
      });
  });

  test("refuses a token of something else", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service(1), service(2)]);
    const { nextPageToken } = await catalog.list({
      kind: "service",
      pageSize: 1,
    });
    expect(
      await refusal(catalog.list({ kind: "route", pageToken: nextPageToken })),
    ).toMatchObject({
      code: "invalid_argument",
      violations: [
        expect.stringContaining(
          "for a list of service, and this is a list of route",
        ) as string,
      ],
    });
    expect(
      (await refusal(catalog.list({ kind: "route", pageToken: "x" }))).code,
    ).toBe("invalid_argument");
  });
});

describe("an export", () => {
  test("has everything by kind, what is referred to first, in parts of one cursor", async () => {
    const { catalog } = await openCatalog();
    const { head } = await catalog.transact([
      ...Array.from({ length: 150 }, (_, i) => service(i)),
      put(resource("consumer", { username: "ann" })),
      put(
        resource("route", {
          id: id(1),
          paths: ["/"],
          service: { name: "s1" },
        }),
      ),
    ]);
    const resources: Resource[] = [];
    let parts = 0;
    for await (const part of catalog.export()) {
      parts++;
      expect(part.cursor).toEqual(head.cursor);
      expect(part.resources.length).toBeLessThanOrEqual(100);
      resources.push(...part.resources);
      // What is written meanwhile is not in it.
      await catalog.transact([service(1000 + parts)]);
    }
    expect(parts).toBeGreaterThan(1);
    expect(resources).toHaveLength(152);
    const kinds = resources.map((r) => kindOfResource(r));
    expect(kinds).toEqual(
      [...kinds].sort(
        (a, b) => KINDS.indexOf(a ?? "acl") - KINDS.indexOf(b ?? "acl"),
      ),
    );
    expect(resources.every((r) => r.kind.value?.createdAt !== undefined)).toBe(
      true,
    );
  });

  test("of nothing is one empty part, with the cursor", async () => {
    const { catalog } = await openCatalog();
    const parts = [];
    for await (const part of catalog.export()) parts.push(part);
    expect(parts).toEqual([{ cursor: catalog.head.cursor, resources: [] }]);
  });

  test("keeps its parts small when the resources are large", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(
      Array.from({ length: 12 }, (_, i) =>
        put(
          resource("plugin", {
            name: `custom-${i}`,
            config: { text: "x".repeat(200_000) },
          }),
        ),
      ),
    );
    const sizes: number[] = [];
    for await (const part of catalog.export())
      sizes.push(part.resources.length);
    expect(sizes).toEqual([6, 6]);
  });
});

test("everything is the same after a restart: the cursor, the names, the references, the times", async () => {
  const opened = await openCatalog();
  await opened.catalog.transact([
    service(1),
    put(
      resource("route", {
        id: id(2),
        name: "r",
        paths: ["/"],
        service: { name: "s1" },
      }),
    ),
  ]);
  const before = await opened.catalog.get("route", { name: "r" });
  const { cursor } = opened.catalog.head;
  const { catalog } = await opened.reopen();
  expect(catalog.head.cursor).toEqual(cursor);
  expect(await catalog.get("route", { name: "r" })).toEqual(before);
  expect(
    (
      await refusal(
        catalog.transact([{ type: "delete", kind: "service", name: "s1" }]),
      )
    ).code,
  ).toBe("failed_precondition");
});
