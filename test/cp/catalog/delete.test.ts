import { describe, expect, test } from "vitest";
import type { TransactResult } from "../../../src/cp/catalog/operation.ts";
import { RSA_CERT, RSA_KEY } from "../../support/certificates.ts";
import {
  deleteNamed,
  openCatalog,
  put,
  refusal,
} from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const service = put(
  resource("service", { id: id(1), name: "pay", host: "a.example" }),
);
const route = put(
  resource("route", {
    id: id(2),
    name: "r",
    paths: ["/"],
    service: { name: "pay" },
  }),
);

function deleted(result: TransactResult): readonly string[] {
  return result.changes.map(({ action, kind, name }) => {
    expect(action).toBe("delete");
    return `${kind} ${name}`;
  });
}

describe("deleting", () => {
  test("by name and by id, in either case of letters", async () => {
    const { catalog } = await openCatalog();
    const upper = "ABCDEF00-0000-4000-8000-00000000000A";
    await catalog.transact([
      service,
      put(resource("service", { id: upper, name: "b", host: "a.example" })),
    ]);
    expect(
      deleted(await catalog.transact([deleteNamed("service", "pay")])),
    ).toEqual(["service pay"]);
    expect(
      deleted(
        await catalog.transact([
          { type: "delete", kind: "service", id: upper },
        ]),
      ),
    ).toEqual(["service b"]);
    expect(catalog.head.snapshot.entryCount).toBe(0);
  });

  test("takes along what belongs to it: plugins, credentials, targets, SNIs", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      service,
      route,
      put(resource("plugin", { name: "cors", service: { name: "pay" } })),
      put(resource("consumer", { id: id(3), username: "ann" })),
      put(
        resource("keyauthCredential", {
          id: id(4),
          key: "k",
          consumer: { id: id(3) },
        }),
      ),
      put(resource("acl", { group: "g", consumer: { id: id(3) } })),
      put(
        resource("plugin", {
          name: "correlation-id",
          route: { name: "r" },
          consumer: { id: id(3) },
        }),
      ),
      put(resource("upstream", { name: "u" })),
      put(resource("target", { target: "a:1", upstream: { name: "u" } })),
      put(
        resource("certificate", {
          id: id(5),
          cert: RSA_CERT,
          key: RSA_KEY,
          snis: ["a.example"],
        }),
      ),
    ]);
    const del = async (...of: Parameters<typeof deleteNamed>) =>
      new Set(deleted(await catalog.transact([deleteNamed(...of)])));
    expect(await del("consumer", "ann")).toEqual(
      new Set([
        "consumer ann",
        `keyauth_credential ${id(4)}`,
        "acl g",
        "plugin correlation-id",
      ]),
    );
    expect(await del("upstream", "u")).toEqual(
      new Set(["upstream u", "target a:1"]),
    );
    expect(
      deleted(
        await catalog.transact([
          { type: "delete", kind: "certificate", id: id(5) },
        ]),
      ),
    ).toEqual([`certificate ${id(5)}`, "sni a.example"]);
    expect(await del("route", "r")).toEqual(new Set(["route r"]));
    expect(await del("service", "pay")).toEqual(
      new Set(["service pay", "plugin cors"]),
    );
    expect(catalog.head.snapshot.entryCount).toBe(0);
  });

  test("is refused while something else refers to it, which is named", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service, route]);
    expect(
      await refusal(catalog.transact([deleteNamed("service", "pay")])),
    ).toEqual({
      code: "failed_precondition",
      violations: [
        `service pay: : cannot be deleted while something refers to it: route "r" (id ${id(2)}); delete or change that first`,
      ],
    });
    expect(catalog.head.snapshot.entryCount).toBe(2);
  });

  test("names five of many that refer to it, and counts the rest", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      service,
      ...Array.from({ length: 8 }, (_, i) =>
        put(resource("route", { paths: [`/${i}`], service: { name: "pay" } })),
      ),
    ]);
    const { violations } = await refusal(
      catalog.transact([deleteNamed("service", "pay")]),
    );
    expect(violations[0]).toMatch(
      /(route "[0-9a-f-]{36}"(, )?){5} and 3 more;/,
    );
  });

  test("is fine when the same transaction deletes or changes what refers to it, in any order", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([service, route]);
    await catalog.transact([
      deleteNamed("service", "pay"),
      put(resource("route", { name: "r", paths: ["/"] })),
    ]);
    await catalog.transact([service, route]);
    const result = await catalog.transact([
      deleteNamed("service", "pay"),
      deleteNamed("route", "r"),
    ]);
    expect(deleted(result)).toHaveLength(2);
  });

  test("of what the same transaction has put and refers to is refused too", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.transact([service, route, deleteNamed("service", "pay")]),
    );
    expect(refused.code).toBe("failed_precondition");
    expect(refused.violations).toEqual([
      `service ${id(1)}: : cannot be deleted while something refers to it: route "r" (id ${id(2)}); delete or change that first`,
    ]);
  });

  test("and putting again is an update, without what belonged to it", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      service,
      put(resource("plugin", { name: "cors", service: { name: "pay" } })),
    ]);
    const result = await catalog.transact([
      deleteNamed("service", "pay"),
      service,
    ]);
    expect(deleted(result)).toEqual(["plugin cors"]);
  });

  test("of what is not there is NOT_FOUND, of what has no name of its own a mistake", async () => {
    const { catalog } = await openCatalog();
    expect(
      await refusal(catalog.transact([deleteNamed("service", "pay")])),
    ).toEqual({
      code: "not_found",
      violations: ["service pay: : there is no service with this name"],
    });
    expect(
      await refusal(
        catalog.transact([{ type: "delete", kind: "route", id: id(1) }]),
      ),
    ).toEqual({
      code: "not_found",
      violations: [`route ${id(1)}: : there is no route with this id`],
    });
    expect(
      await refusal(catalog.transact([deleteNamed("target", "a:1")])),
    ).toEqual({
      code: "invalid_argument",
      violations: [
        "target a:1: : a target cannot be found by a name alone: give its id",
      ],
    });
    expect(
      (await refusal(catalog.transact([{ type: "delete", kind: "route" }])))
        .code,
    ).toBe("invalid_argument");
  });
});

describe("deleting more than half of everything, and at least 20", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      put(resource("route", { id: id(i), paths: [`/${i}`] })),
    );
  const deletions = (count: number) =>
    Array.from(
      { length: count },
      (_, i) => ({ type: "delete", kind: "route", id: id(i) }) as const,
    );

  test("is refused with the numbers and what to set, unless it was said to be meant", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(many(39));
    const refused = await refusal(catalog.transact(deletions(20)));
    expect(refused).toEqual({
      code: "failed_precondition",
      violations: [
        ' : allow_mass_delete: would delete 20 of 39 resources, more than half of workspace "default"; if that is meant, set allow_mass_delete (on the command line: --yes)',
      ],
    });
    expect(catalog.head.snapshot.entryCount).toBe(39);
    await catalog.transact(deletions(20), { allowMassDelete: true });
    expect(catalog.head.snapshot.entryCount).toBe(19);
  });

  test("is not half: 20 of 40, or 19 of 19, go", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(many(40));
    await catalog.transact(deletions(20));
    const small = await openCatalog();
    await small.catalog.transact(many(19));
    await small.catalog.transact(deletions(19));
    expect(small.catalog.head.snapshot.entryCount).toBe(0);
  });

  test("is only warned about in a dry run", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact(many(30));
    const result = await catalog.transact(deletions(30), { dryRun: true });
    expect(result.changes).toHaveLength(30);
    expect(result.warnings).toEqual([
      expect.objectContaining({
        field: "allow_mass_delete",
        message: expect.stringContaining("30 of 30") as string,
      }),
    ]);
  });
});
