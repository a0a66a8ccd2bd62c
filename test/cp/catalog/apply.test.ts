import { describe, expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import type { ParsedDeclarative } from "../../../src/model/declarative/parsed.ts";
import { openCatalog, put, refusal } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

function parsed(...lines: readonly string[]): ParsedDeclarative {
  const content = ['_format_version: "3.0"', ...lines].join("\n");
  return parseDeclarative([{ name: "kong.yml", content }]);
}

const shop = parsed(
  "services:",
  "- name: pay",
  "  url: http://pay.example:8080/base",
  "  routes:",
  "  - name: r",
  "    paths: [/pay]",
  "  - paths: [/unnamed]",
  "  plugins:",
  "  - name: cors",
  "consumers:",
  "- username: ann",
  "  keyauth_credentials:",
  "  - key: sesame",
  "upstreams:",
  "- name: bank",
  "  targets:",
  "  - target: 10.0.0.1:80",
);

describe("applying files", () => {
  test("makes one revision of all they name, and a second time nothing", async () => {
    const { catalog } = await openCatalog();
    expect(shop.problems).toEqual([]);
    const first = await catalog.apply(shop, { prune: false, author: "ann" });
    expect(first.revision).toBe(1n);
    expect(first.changes).toHaveLength(8);
    for (const prune of [false, true])
      expect(await catalog.apply(shop, { prune })).toMatchObject({
        revision: 1n,
        changes: [],
      });
  });

  test("gives the same root in every catalog", async () => {
    const roots = await Promise.all(
      [1, 2].map(async () => {
        const { catalog } = await openCatalog();
        const { head } = await catalog.apply(shop, { prune: false });
        return head.cursor.root;
      }),
    );
    expect(roots[0]).toBe(roots[1]);
  });

  test("keeps the ids of what is there under the same names", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      put(resource("service", { id: id(1), name: "pay", host: "a.example" })),
    ]);
    await catalog.apply(shop, { prune: false });
    expect((await catalog.get("service", { name: "pay" })).key).toBe(
      `service/${id(1)}`,
    );
    expect(
      (await catalog.get("route", { name: "r" })).resource.kind.value,
    ).toMatchObject({ service: { id: id(1) } });
  });

  test("with problems in them changes nothing, and says each with its place", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.apply(
        parsed("services:", "- name: pay", "  hots: a.example", "frogs: []"),
        { prune: false },
      ),
    );
    expect(refused.code).toBe("invalid_argument");
    expect(refused.violations.join("\n")).toMatch(/kong\.yml:4:\d+: /);
    expect(refused.violations.join("\n")).toMatch(/kong\.yml:5:\d+: /);
    expect(catalog.head.cursor.revision).toBe(0n);
  });

  test("with problems in them have a plan in a dry run, and each problem once", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([put(resource("consumer", { username: "bob" }))]);
    const { dryRun, changes, warnings } = await catalog.apply(
      parsed(
        "consumers:",
        "- username: eve",
        "services:",
        "- name: pay",
        "  hots: a.example",
        "routes:",
        "- name: r",
        "  paths: [x]",
        "  service: pay",
      ),
      { prune: true, dryRun: true },
    );
    const places = dryRun?.refusal?.violations.map(
      ({ field, reason }) => `${/^kong.yml:\d+/.exec(reason)?.[0]} ${field}`,
    );
    expect(places).toEqual([
      "kong.yml:5 host",
      "kong.yml:6 hots",
      "kong.yml:9 paths[0]",
    ]);
    expect(changes).toContainEqual(
      expect.objectContaining({ name: "eve", action: "create" }),
    );
    // It may be in what could not be read.
    expect(changes).not.toContainEqual(
      expect.objectContaining({ action: "delete" }),
    );
    expect(warnings).toContainEqual(
      expect.objectContaining({ field: "prune" }),
    );
  });

  test("that refer to what is not there says where", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.apply(
        parsed("routes:", "- name: r", "  paths: [/]", "  service: nope"),
        { prune: false },
      ),
    );
    expect(refused.violations.join()).toMatch(/kong\.yml:3:\d+: .*"?nope"?/);
  });

  test("takes over the warnings of the files", async () => {
    const { catalog } = await openCatalog();
    const { warnings } = await catalog.apply(
      {
        ...shop,
        warnings: [
          {
            file: "kong.yml",
            line: 3,
            column: 4,
            path: "",
            entity: 'service "pay"',
            field: "url",
            message: "is odd",
          },
        ],
      },
      { prune: false, dryRun: true },
    );
    expect(warnings).toContainEqual({
      kind: 'service "pay"',
      id: "",
      name: "",
      field: "url",
      message: "is odd",
      nodes: [],
      position: "kong.yml:3:4",
    });
  });
});

describe("pruning", () => {
  test("deletes all that the files do not name, in the same revision", async () => {
    const { catalog } = await openCatalog();
    await catalog.apply(shop, { prune: false });
    await catalog.transact([
      put(resource("consumer", { username: "bob" })),
      put(resource("plugin", { name: "cors", route: { name: "r" } })),
      put(resource("service", { id: id(9), name: "old", host: "a.example" })),
      put(
        resource("route", {
          name: "old",
          paths: ["/"],
          service: { id: id(9) },
        }),
      ),
    ]);
    const result = await catalog.apply(shop, { prune: true });
    expect(
      result.changes.map(
        ({ action, kind, name }) => `${action} ${kind} ${name}`,
      ),
    ).toEqual([
      "delete consumer bob",
      "delete plugin cors",
      "delete route old",
      "delete service old",
    ]);
    expect(result.revision).toBe(3n);
  });

  test("sees what was written just before it", async () => {
    const { catalog, store } = await openCatalog();
    await catalog.apply(shop, { prune: false });
    const [, pruned] = await Promise.all([
      catalog.transact([put(resource("consumer", { username: "late" }))]),
      catalog.apply(shop, { prune: true }),
    ]);
    expect(store.groups.at(-1)).toBe(2);
    expect(pruned.changes).toEqual([
      expect.objectContaining({ action: "delete", name: "late" }),
    ]);
  });

  test("lets a name go over to an entity with another id", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      put(resource("consumer", { id: id(1), username: "ann" })),
    ]);
    const result = await catalog.apply(
      parsed("consumers:", `- id: ${id(2)}`, "  username: ann"),
      { prune: true },
    );
    expect(result.changes.map(({ action }) => action)).toEqual([
      "delete",
      "create",
    ]);
    expect((await catalog.get("consumer", { name: "ann" })).key).toBe(
      `consumer/${id(2)}`,
    );
  });

  test("does not pull away what the files refer to without naming it", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      put(resource("service", { id: id(1), name: "pay", host: "a.example" })),
    ]);
    const content = parsed(
      "routes:",
      "- name: r",
      "  paths: [/]",
      `  service: ${id(1)}`,
    );
    // The parser may refuse what the files do not have themselves; then there is nothing to prune.
    const entities = content.problems.length === 0 ? content : undefined;
    const refused = await refusal(
      catalog.apply(
        entities ?? {
          problems: [],
          warnings: [],
          missing: [],
          selectTags: [],
          entities: [
            {
              kind: "route",
              resource: resource("route", {
                name: "r",
                paths: ["/"],
                service: { id: id(1) },
              }),
              idIfNew: id(2),
              position: { file: "kong.yml", line: 3, column: 3 },
              path: "routes[0]",
              label: 'route "r"',
            },
          ],
        },
        { prune: true },
      ),
    );
    expect(refused.code).toBe("failed_precondition");
    expect(refused.violations[0]).toMatch(
      /^service pay: : the files do not name it, so pruning would delete it, but they name what refers to it: route "r" .* at kong\.yml:3:3; name it too/,
    );
  });

  test("of nearly everything has to be meant", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(
      Array.from({ length: 30 }, (_, i) =>
        put(resource("consumer", { username: `c${i}` })),
      ),
    );
    const refused = await refusal(catalog.apply(shop, { prune: true }));
    expect(refused.violations[0]).toContain("30 of 30");
    const result = await catalog.apply(shop, {
      prune: true,
      allowMassDelete: true,
    });
    expect(result.head.snapshot.entryCount).toBe(8);
  });
});
