import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import type { Catalog } from "../../../src/cp/catalog/catalog.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { fillPlaceholders } from "../../../src/model/declarative/fill-placeholders.ts";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { serializeDeclarative } from "../../../src/model/declarative/serialize.ts";
import { arbitraryConfiguration } from "../../support/arbitrary-configuration.ts";
import { openCatalog, put } from "../../support/open-catalog.ts";
import { resource } from "../../support/resources.ts";

vi.setConfig({ testTimeout: 120_000 });

/** Real files of other people, too many and too foreign to keep in this repository. */
const corpus =
  process.env["HOLDFAST_CORPUS"] ??
  path.join(import.meta.dirname, "../../../../shared/corpus");

async function dumpOf(catalog: Catalog): Promise<string> {
  const resources: Resource[] = [];
  for await (const part of catalog.export()) resources.push(...part.resources);
  return serializeDeclarative(resources);
}

function parsed(content: string) {
  return parseDeclarative([{ name: "dump.yml", content }]);
}

/** Applies what a catalog dumps to an empty one, and proves that nothing is lost and nothing is new. */
async function expectRoundTrip(catalog: Catalog): Promise<void> {
  const dump = await dumpOf(catalog);
  const { catalog: other } = await openCatalog();
  await other.apply(parsed(dump), { prune: false });
  expect(other.head.cursor.root).toBe(catalog.head.cursor.root);
  expect(await dumpOf(other)).toBe(dump);
  // Nor is there anything to do where it came from.
  const again = await catalog.apply(parsed(dump), { prune: true });
  expect(again.changes).toEqual([]);
}

test("a dump applied to an empty store gives the same root", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryConfiguration, async (resources) => {
      const { catalog } = await openCatalog();
      await catalog.transact(resources.map((resource) => put(resource)));
      expect(catalog.head.snapshot.entryCount).toBe(resources.length);
      await expectRoundTrip(catalog);
    }),
    { numRuns: 15 },
  );
});

test("what only looks like a placeholder comes back, in a line and in a block", async () => {
  const { catalog } = await openCatalog();
  const text = '${{ env "DECK_X" }}';
  const config = { message: text, lua: `one\n${text} two\n`, [text]: 1 };
  await catalog.transact([
    put(resource("plugin", { name: "custom", config, tags: ["a${{ b }}"] })),
  ]);
  await expectRoundTrip(catalog);
  const content = await dumpOf(catalog);
  const filled = fillPlaceholders(
    { name: "dump.yml", content },
    { values: {}, shell: false },
  );
  expect(filled.problems).toEqual([]);
  expect(filled.file.content).toBe(content);
});

describe.skipIf(!existsSync(corpus))("files from the wild", () => {
  const files = existsSync(corpus)
    ? readdirSync(corpus).filter((name) => /\.(ya?ml|json)$/.test(name))
    : [];
  const accepted = files
    .map((name) => {
      const content = readFileSync(path.join(corpus, name), "utf8");
      const values = { DECK_VAULT_TOKEN: "t" };
      return fillPlaceholders({ name, content }, { values, shell: false }).file;
    })
    .filter((file) => parseDeclarative([file]).problems.length === 0);

  test.each(accepted)("$name comes back from a dump", async (file) => {
    const { catalog } = await openCatalog();
    await catalog.apply(parseDeclarative([file]), { prune: false });
    await expectRoundTrip(catalog);
  });
});
