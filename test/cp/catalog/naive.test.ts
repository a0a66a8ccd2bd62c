import fc from "fast-check";
import { expect, test, vi } from "vitest";
import type { Catalog } from "../../../src/cp/catalog/catalog.ts";
import type { Operation } from "../../../src/cp/catalog/operation.ts";
import { decodeResource } from "../../../src/cp/catalog/resource.ts";
import { kindOfResource } from "../../../src/model/kinds.ts";
import { resourceToJson } from "../../../src/model/resource-json.ts";
import { ConfigError } from "../../../src/model/violation.ts";
import { resourceOf } from "../../support/arbitrary-resource.ts";
import {
  NAIVE_KINDS,
  naiveTransact,
  type NaiveKind,
  type NaiveOperation,
  type NaiveState,
} from "../../support/naive-catalog.ts";
import { openCatalog } from "../../support/open-catalog.ts";
import { id } from "../../support/resources.ts";

vi.setConfig({ testTimeout: 60_000 });

/** Few ids and few names, so that everything meets everything. */
const anyId = fc.nat(2).map(id);
const name = fc.constantFrom("a", "b", "c");
const reference = fc.oneof(
  anyId.map((one) => ({ id: one })),
  name.map((one) => ({ name: one })),
);
const plain = (
  needed: readonly string[],
  others: readonly string[] = [],
): fc.Arbitrary<Record<string, string>> =>
  fc.record(
    Object.fromEntries([...needed, ...others].map((field) => [field, name])),
    { requiredKeys: [...needed], noNullPrototype: true },
  );
const refers = (
  needed: readonly string[],
  others: readonly string[] = [],
): fc.Arbitrary<NaiveReferences> =>
  fc.record(
    Object.fromEntries(
      [...needed, ...others].map((field) => [field, reference]),
    ),
    { requiredKeys: [...needed], noNullPrototype: true },
  );
type NaiveReferences = Record<
  string,
  { readonly id: string } | { readonly name: string }
>;

/** What each kind may be put with; a plugin's name has to be one that can be everywhere. */
const SHAPES: Readonly<
  Record<
    NaiveKind,
    readonly [
      fc.Arbitrary<Record<string, string>>,
      fc.Arbitrary<NaiveReferences>,
    ]
  >
> = {
  service: [plain([], ["name"]), refers([])],
  route: [plain([], ["name"]), refers([], ["service"])],
  upstream: [plain(["name"]), refers([])],
  target: [plain(["target"]), refers(["upstream"])],
  consumer: [plain(["username"], ["custom_id"]), refers([])],
  keyauth_credential: [plain(["key"]), refers(["consumer"])],
  acl: [plain(["group"]), refers(["consumer"])],
  consumer_group: [plain(["name"]), refers([])],
  plugin: [
    plain(["name"], ["instance_name"]),
    fc.oneof(
      refers([], ["service", "route", "consumer"]),
      refers(["consumer_group"], ["service", "route"]),
    ),
  ],
};

const put: fc.Arbitrary<NaiveOperation> = fc.oneof(
  ...NAIVE_KINDS.map((kind) =>
    fc.tuple(anyId, ...SHAPES[kind]).map(([one, fields, references]) => ({
      type: "put" as const,
      kind,
      id: one,
      fields,
      references,
    })),
  ),
);

/** Those that a name alone finds. */
const NAMED = new Set<NaiveKind>([
  "service",
  "route",
  "upstream",
  "consumer",
  "consumer_group",
]);

const deletion: fc.Arbitrary<NaiveOperation> = fc
  .record({ kind: fc.constantFrom(...NAIVE_KINDS), one: anyId, by: reference })
  .map(({ kind, one, by }) => ({
    type: "delete",
    kind,
    by: NAMED.has(kind) ? by : { id: one },
  }));

const transactions = fc.array(
  fc.array(
    fc.oneof({ weight: 3, arbitrary: put }, { weight: 1, arbitrary: deletion }),
    { minLength: 1, maxLength: 3 },
  ),
  { minLength: 20, maxLength: 30, size: "max" },
);

/** One of each to begin with, so that not everything is refused for what is not there. */
const BEGINNING: readonly NaiveOperation[] = NAIVE_KINDS.map((kind) => ({
  type: "put",
  kind,
  id: id(0),
  fields: {
    ...(kind === "consumer" ? { username: "a" } : {}),
    ...(NAMED.has(kind) && kind !== "consumer" ? { name: "a" } : {}),
    ...(kind === "target" ? { target: "a" } : {}),
    ...(kind === "keyauth_credential" ? { key: "a" } : {}),
    ...(kind === "acl" ? { group: "a" } : {}),
    ...(kind === "plugin" ? { name: "a" } : {}),
  },
  references: {
    ...(kind === "target" ? { upstream: { id: id(0) } } : {}),
    ...(kind === "keyauth_credential" || kind === "acl" || kind === "plugin"
      ? { consumer: { name: "a" } }
      : {}),
  },
}));

/** What the rules want besides. */
const NEEDED: Partial<Record<NaiveKind, Record<string, string | string[]>>> = {
  service: { host: "a.example" },
  route: { paths: ["/"] },
};

function operationOf(operation: NaiveOperation): Operation {
  if (operation.type === "delete")
    return { type: "delete", kind: operation.kind, ...operation.by };
  const { kind, fields, references } = operation;
  return {
    type: "put",
    resource: resourceOf({
      [kind]: { id: operation.id, ...NEEDED[kind], ...fields, ...references },
    }),
  };
}

/** What the catalog has, told as the naive one tells it. */
function stateOf(catalog: Catalog): NaiveState {
  return [...catalog.head.snapshot.entries()].map(({ value }) => {
    const resource = decodeResource(value);
    const kind = kindOfResource(resource) as NaiveKind;
    const all = (resourceToJson(resource) as Record<string, object>)[kind];
    const fields: Record<string, string> = {};
    const references: Record<string, string> = {};
    for (const [field, stored] of Object.entries(all ?? {})) {
      if (TOLD.has(field) && stored !== "") fields[field] = String(stored);
      const { id: referred } = Object(stored) as { readonly id?: string };
      if (referred !== undefined) references[field] = referred;
    }
    return { kind, id: resource.kind.value?.id ?? "", fields, references };
  });
}

/** The plain fields that are compared. A target and a plugin are told as they were given. */
const TOLD = new Set([
  ...["name", "username", "custom_id", "target", "key", "group"],
  "instance_name",
]);

/** In one order, with targets as they are stored. */
function inOrder(state: NaiveState): NaiveState {
  return state
    .map((entry) =>
      entry.kind === "target"
        ? {
            ...entry,
            fields: { target: entry.fields["target"]?.split(":")[0] ?? "" },
          }
        : entry,
    )
    .sort((a, b) => (`${a.kind}/${a.id}` < `${b.kind}/${b.id}` ? -1 : 1));
}

test("what a catalog accepts, refuses and has afterwards is what a list and some loops come to", async () => {
  const seen = { done: 0, refused: 0, cascades: 0 };
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(transactions, async (all) => {
      const { catalog } = await openCatalog();
      let state: NaiveState = [];
      for (const operations of [BEGINNING, ...all]) {
        const expected = naiveTransact(state, operations);
        if (expected.type === "unclear") continue;
        const revision = catalog.head.cursor.revision;
        let refusal: ConfigError | undefined;
        try {
          await catalog.transact(operations.map(operationOf), {
            allowMassDelete: true,
          });
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          refusal = error;
        }
        if (expected.type === "refused") {
          expect([...expected.codes], refusal?.message).toContain(
            refusal?.code,
          );
          for (const code of expected.codes) codes.add(code);
          expect(catalog.head.cursor.revision).toBe(revision);
          seen.refused++;
          continue;
        }
        expect(refusal?.message).toBeUndefined();
        const deleted = operations.filter(({ type }) => type === "delete");
        if (state.length - expected.state.length > deleted.length)
          seen.cascades++;
        state = expected.state;
        expect(inOrder(stateOf(catalog))).toEqual(inOrder(state));
        seen.done++;
      }
    }),
    { numRuns: 15 },
  );
  // Neither refusals alone nor none would show much.
  expect(seen.done).toBeGreaterThan(50);
  expect(seen.refused).toBeGreaterThan(50);
  expect(seen.cascades).toBeGreaterThan(0);
  expect([...codes].sort()).toEqual([
    "already_exists",
    "failed_precondition",
    "invalid_argument",
    "not_found",
  ]);
});
