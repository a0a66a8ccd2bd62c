import { clone, toJson, type JsonObject } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import {
  ResourceSchema,
  type Resource,
} from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { PLUGINS } from "../../../src/dp/plugins/registry.ts";
import { decodeResource } from "../../../src/cp/catalog/resource.ts";
import { KINDS, kindOfResource, type Kind } from "../../../src/model/kinds.ts";
import { knownPlugin } from "../../../src/model/plugins.ts";
import { ConfigError } from "../../../src/model/violation.ts";
import { arbitraryConfiguration } from "../../support/arbitrary-configuration.ts";
import {
  arbitraryMessage,
  arbitraryResource,
} from "../../support/arbitrary-resource.ts";
import { compile } from "../../support/compiling.ts";
import { NEARLY_VALID } from "../../support/nearly-valid.ts";
import { openCatalog, put } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

vi.setConfig({ testTimeout: 60_000 });

const STORABLE = { storable: true };

const consumer = { name: "012" };
const password = `$scrypt$ln=14,r=8,p=1$${"c2FsdA".repeat(4)}$${"aGFzaA".repeat(8)}`;

/** Of each kind that a configuration at random may lack, one to change. */
const ALWAYS: readonly Resource[] = [
  resource("target", { target: "10.1.0.1:80", upstream: { name: "bank" } }),
  resource("plugin", { name: "cors", config: {} }),
  resource("keyauthCredential", { key: "always", consumer }),
  resource("basicauthCredential", { username: "always", password, consumer }),
  resource("jwtSecret", { key: "always", secret: "s", consumer }),
  resource("acl", { group: "always", consumer }),
  resource("oauth2Credential", {
    name: "always",
    clientId: "always",
    clientSecret: "s",
    redirectUris: ["https://a.example/"],
    consumer,
  }),
  resource("hmacauthCredential", { username: "always", secret: "s", consumer }),
  resource("vault", { name: "env", prefix: "always", config: {} }),
  resource("sni", {
    name: "always.example",
    certificate: { id: id(6) },
  }),
];

/** Some fields of one message, taken over into another of the same type. */
interface Mutation {
  readonly from: Resource;
  /** Which of the fields that are there, as shares of their number. */
  readonly picks: readonly number[];
}

const mutations: fc.Arbitrary<readonly Mutation[]> = fc.array(
  fc.record({
    from: arbitraryResource(STORABLE),
    picks: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), {
      minLength: 1,
      maxLength: 2,
    }),
  }),
  { minLength: 30, maxLength: 60, size: "max" },
);

/** Plugins that the data plane has, with a field or two of their settings at random. */
const plugins: fc.Arbitrary<readonly Resource[]> = fc.array(
  fc.constantFrom(...PLUGINS.keys()).chain((name) => {
    const schema = knownPlugin(name)?.schema;
    if (schema === undefined) throw new TypeError(`${name} has no settings`);
    return fc
      .tuple(
        arbitraryMessage(schema, STORABLE),
        fc.subarray(
          schema.fields.map((field) => field.name),
          { maxLength: 2 },
        ),
      )
      .map(([message, kept]) => {
        const all = toJson(schema, message, {
          useProtoFieldName: true,
        }) as JsonObject;
        const config = Object.fromEntries(
          Object.entries(all).filter(([field]) => kept.includes(field)),
        );
        return resource("plugin", { name, config });
      });
  }),
  { minLength: 10, maxLength: 20, size: "max" },
);

/** One of the resources of the same kind, which is valid, with some fields of another, which hardly is. */
function mutated(
  valid: readonly Resource[],
  { from, picks }: Mutation,
): Resource[] {
  const base = valid.find(({ kind }) => kind.case === from.kind.case);
  if (base === undefined || from.kind.value === undefined) return [];
  const copy = clone(ResourceSchema, base);
  const fields = Object.entries(from.kind.value).filter(
    ([field]) => !field.startsWith("$") && field !== "id",
  );
  for (const pick of picks) {
    const [field, value] = fields[Math.floor(pick * fields.length)] ?? [];
    if (field !== undefined)
      Object.assign(copy.kind.value as object, { [field]: value as unknown });
  }
  return [copy];
}

test("the gateway compiles whatever the catalog accepts", async () => {
  const accepted = new Set<Kind>();
  let mutants = 0;
  await fc.assert(
    fc.asyncProperty(
      arbitraryConfiguration,
      mutations,
      plugins,
      async (generated, changes, configured) => {
        const valid = [...generated, ...ALWAYS];
        const { catalog } = await openCatalog();
        await catalog.transact(valid.map((one) => put(one)));
        const settled = await Promise.allSettled([
          ...[
            ...configured,
            ...changes.flatMap((change) => mutated(valid, change)),
          ].map((one) => catalog.transact([put(one)])),
        ]);
        for (const outcome of settled)
          if (outcome.status === "rejected")
            expect(outcome.reason).toBeInstanceOf(ConfigError);
          else if (outcome.value.changes.length > 0) mutants++;
        const { snapshot } = catalog.head;
        for (const { value } of snapshot.entries()) {
          const kind = kindOfResource(decodeResource(value));
          if (kind !== undefined) accepted.add(kind);
        }
        // Plugins that nobody has fail their routes and nothing else.
        const compiled = compile(snapshot, { onUnsupported: "fail-route" });
        expect(compiled.ok ? [] : compiled.violations).toEqual([]);
        const strict = compile(snapshot);
        if (!strict.ok) expect(strict.class).toBe("UNSUPPORTED");
      },
    ),
    { numRuns: 12, endOnFailure: true },
  );
  expect([...accepted].sort()).toEqual([...KINDS].sort());
  expect(mutants).toBeGreaterThan(100);
});

/** Of each field as many texts as show both sides of its rule. */
const nearlyValid = fc.tuple(
  ...NEARLY_VALID.map(({ texts }) =>
    fc.array(texts, { minLength: 40, maxLength: 40, size: "max" }),
  ),
);

test("the gateway compiles what the catalog accepts of texts that only a parser can tell right from wrong", async () => {
  await fc.assert(
    fc.asyncProperty(nearlyValid, async (tried) => {
      const { catalog } = await openCatalog();
      const outcomes = await Promise.all(
        NEARLY_VALID.map(async ({ field, holding }, kind) => {
          const settled = await Promise.allSettled(
            (tried[kind] ?? []).map((text, i) =>
              catalog.transact(
                holding(text, kind * 1000 + i).map((one) => put(one)),
              ),
            ),
          );
          return { field, reasons: settled.map(refusedFields) };
        }),
      );
      const compiled = compile(catalog.head.snapshot);
      expect(compiled.ok ? [] : compiled.violations).toEqual([]);
      // A rule is looked at from both sides, and nothing else is what is wrong.
      for (const { field, reasons } of outcomes) {
        const refused = reasons.filter((fields) => fields.length > 0);
        expect(refused.length, `refused for ${field}`).toBeGreaterThan(3);
        expect(refused.length, `refused for ${field}`).toBeLessThan(37);
        expect([...new Set(refused.flat())]).toEqual([field]);
      }
    }),
    { numRuns: 1, endOnFailure: true },
  );
});

/** Which fields an outcome complains about, without the places within them. */
function refusedFields(outcome: PromiseSettledResult<unknown>): string[] {
  if (outcome.status === "fulfilled") return [];
  const { reason } = outcome as { reason: unknown };
  if (!(reason instanceof ConfigError)) throw reason;
  return reason.violations.map(
    ({ kind, field }) => `${kind}.${field.replace(/\[.*/, "")}`,
  );
}
