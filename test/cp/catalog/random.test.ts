import fc from "fast-check";
import { expect, test } from "vitest";
import type { Operation } from "../../../src/cp/catalog/operation.ts";
import { decodeResource, factsOf } from "../../../src/cp/catalog/resource.ts";
import type { Catalog } from "../../../src/cp/catalog/catalog.ts";
import { KINDS } from "../../../src/model/kinds.ts";
import { runSlices } from "../../../src/model/slices.ts";
import { Snapshot } from "../../../src/model/snapshot.ts";
import { ConfigError } from "../../../src/model/violation.ts";
import { EC_CERT, EC_KEY } from "../../support/certificates.ts";
import { openCatalog, put } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

/** Few ids and few names, so that everything meets everything. */
const number = fc.nat(3);
const name = fc.constantFrom("a", "b", "c");
const reference = fc.oneof(
  number.map((n) => ({ id: id(n) })),
  name.map((text) => ({ name: text })),
);
const maybeId = fc.oneof(
  number.map((n) => ({ id: id(n) })),
  fc.constant({}),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });

const puts: fc.Arbitrary<Operation> = fc
  .oneof(
    fc
      .record({ id: maybeId, name, port: fc.constantFrom(80, 81, 82, 83, -1) })
      .map(({ id: given, name: text, port }) =>
        resource("service", { ...given, name: text, host: "a.example", port }),
      ),
    fc
      .record({ id: maybeId, name: maybe(name), service: maybe(reference) })
      .map(({ id: given, name: text, service }) =>
        resource("route", {
          ...given,
          paths: ["/"],
          ...(text === undefined ? {} : { name: text }),
          ...(service === undefined ? {} : { service }),
        }),
      ),
    fc
      .record({ id: maybeId, name, customId: maybe(name) })
      .map(({ id: given, name: text, customId }) =>
        resource("consumer", {
          ...given,
          username: text,
          ...(customId === undefined ? {} : { customId }),
        }),
      ),
    fc
      .record({
        id: maybeId,
        name: fc.constantFrom("correlation-id", "request-termination"),
        instanceName: maybe(name),
        route: maybe(reference),
        service: maybe(reference),
        consumer: maybe(reference),
      })
      .map(({ id: given, name: text, instanceName, ...scope }) =>
        resource("plugin", {
          ...given,
          name: text,
          ...(instanceName === undefined ? {} : { instanceName }),
          ...Object.fromEntries(
            Object.entries(scope).filter(([, value]) => value !== undefined),
          ),
        }),
      ),
    fc
      .record({ id: maybeId, key: name, consumer: reference })
      .map(({ id: given, key, consumer }) =>
        resource("keyauthCredential", { ...given, key, consumer }),
      ),
    fc
      .record({ id: maybeId, name })
      .map(({ id: given, name: text }) =>
        resource("upstream", { ...given, name: text }),
      ),
    fc
      .record({ id: maybeId, snis: fc.subarray(["a", "b", "c"]) })
      .map(({ id: given, snis }) =>
        resource("certificate", {
          ...given,
          cert: EC_CERT,
          key: EC_KEY,
          snis: snis.map((sni) => `${sni}.example`),
        }),
      ),
    fc
      .record({ id: maybeId, name, certificate: number })
      .map(({ id: given, name: text, certificate }) =>
        resource("sni", {
          ...given,
          name: `${text}.example`,
          certificate: { id: id(certificate) },
        }),
      ),
    fc
      .record({ id: maybeId, target: name, upstream: reference })
      .map(({ id: given, target, upstream }) =>
        resource("target", { ...given, target, upstream }),
      ),
  )
  .map((made) => put(made));

const deletes: fc.Arbitrary<Operation> = fc
  .record({
    kind: fc.constantFrom(...KINDS.filter((kind) => kind !== "acl")),
    by: reference,
  })
  .map(({ kind, by }) => ({ type: "delete", kind, ...by }));

const transactions = fc.array(
  fc.array(fc.oneof({ weight: 4, arbitrary: puts }, deletes), {
    minLength: 1,
    maxLength: 4,
  }),
  { minLength: 5, maxLength: 30, size: "max" },
);

/** Something to begin with, so that not everything is refused. */
const beginning: readonly Operation[] = [
  put(resource("service", { id: id(0), name: "a", host: "a.example" })),
  put(resource("route", { id: id(1), name: "a", paths: ["/"] })),
  put(resource("consumer", { id: id(2), username: "a" })),
  put(resource("upstream", { id: id(3), name: "a" })),
];

/** Everything that must hold of a catalog between two transactions, found out the slow way. */
function check(catalog: Catalog): void {
  const { cursor, snapshot } = catalog.head;
  const entries = [...snapshot.entries()];
  const owners = new Map<string, string>();
  const referrers = new Map<string, Set<string>>();
  for (const { key, value } of entries) {
    const { unique, refers } = factsOf(decodeResource(value));
    for (const claim of unique) {
      expect(owners.get(claim.key)).toBeUndefined();
      owners.set(claim.key, key);
    }
    for (const referred of refers) {
      expect(snapshot.get(referred), `${key} -> ${referred}`).toBeDefined();
      const known = referrers.get(referred) ?? new Set();
      referrers.set(referred, known.add(key));
    }
  }
  const rebuilt = runSlices(
    Snapshot.empty("default").applySlices({ puts: entries, deletes: [] }),
  );
  expect(cursor.root).toBe(rebuilt.root);
  const indexes = catalog.indexes.indexes();
  expect(indexes.owners).toEqual(owners);
  expect(indexes.referrers).toEqual(referrers);
  expect(indexes.keys).toEqual(entries.map(({ key }) => key).sort());
}

test("after any transactions the indexes are those of the content, and no reference leads nowhere", async () => {
  let refused = 0;
  let done = 0;
  await fc.assert(
    fc.asyncProperty(transactions, fc.boolean(), async (all, together) => {
      const opened = await openCatalog();
      const { catalog } = opened;
      const one = async (operations: readonly Operation[]): Promise<void> => {
        const before = catalog.head;
        try {
          const { changes } = await catalog.transact(operations, {
            allowMassDelete: true,
          });
          if (changes.length > 0) done++;
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          expect((error as ConfigError).violations).not.toEqual([]);
          if (!together) expect(catalog.head).toBe(before);
          refused++;
        }
      };
      await one(beginning);
      if (together) await Promise.all(all.map(one));
      else
        for (const operations of all) {
          await one(operations);
          // The indexes are taken in after the answer, before anything else is planned.
          await catalog.transact([], {});
          check(catalog);
        }
      await catalog.transact([], {});
      check(catalog);
      const again = await opened.reopen();
      expect(again.catalog.head.cursor).toEqual(catalog.head.cursor);
      check(again.catalog);
    }),
    { numRuns: 40 },
  );
  // A test of refusals alone, or of none, would show little.
  expect(refused).toBeGreaterThan(100);
  expect(done).toBeGreaterThan(100);
}, 120_000);
