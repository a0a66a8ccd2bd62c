import type { DescMessage } from "@bufbuild/protobuf";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PLUGINS } from "../../src/dp/plugins/registry.ts";
import { knownPlugin } from "../../src/model/plugins.ts";

const root = new URL("../../", import.meta.url);
const tests = new Map(
  readdirSync(new URL("test", root), { recursive: true })
    .map((path) => `test/${String(path).replaceAll("\\", "/")}`)
    .filter((path) => path.endsWith(".test.ts"))
    .map((path) => [path, readFileSync(new URL(path, root), "utf8")]),
);
const paths = [...tests.keys()];
/** All that tests are called, and more. */
const words = [...tests.values()].join("\n").replaceAll(/\s+/g, " ");

interface Row {
  /** The headings that it stands under. */
  readonly section: string;
  readonly cells: readonly string[];
}

/** The rows of all tables. */
function rowsOf(document: string): readonly Row[] {
  const rows: Row[] = [];
  let section = "";
  for (const line of document.split("\n")) {
    if (line.startsWith("#")) section = line.replace(/^#+ /, "");
    if (!line.startsWith("| ") || line.startsWith("| ---")) continue;
    const cells = line.slice(1, line.lastIndexOf("|")).split("|");
    rows.push({ section, cells: cells.map((cell) => cell.trim()) });
  }
  return rows;
}

const rows = rowsOf(
  readFileSync(new URL("docs/kong-compatibility.md", root), "utf8"),
);

describe("docs/kong-compatibility.md", () => {
  test("names tests that are there", () => {
    const missing: string[] = [];
    for (const { cells } of rows) {
      const [, , last = ""] = cells;
      const text = cells.join();
      for (const [, file = ""] of text.matchAll(/`([\w./-]+\.test\.ts)`/g))
        if (!paths.some((path) => `/${path}`.endsWith(`/${file}`)))
          missing.push(file);
      for (const [, name = ""] of last.matchAll(/"([^"]+)"/g))
        for (const part of name.split("…"))
          if (!words.includes(part.trim())) missing.push(name);
    }
    expect(missing).toEqual([]);
  });

  test.each([...PLUGINS.values()])(
    "has every option of $name",
    ({ name, priority }) => {
      const schema = knownPlugin(name)?.schema;
      if (schema === undefined) throw new Error(`no plugin ${name}`);
      const told = rows
        .filter(({ section }) => section === `${name} (priority ${priority})`)
        .flatMap(({ cells }) =>
          [...(cells[0] ?? "").matchAll(/`([^`]+)`/g)].map(
            ([, option = ""]) => option,
          ),
        );
      const has = (path: readonly string[]): boolean =>
        told.some((option) => {
          const end = path.at(-1) ?? "";
          return option.endsWith("*")
            ? path.join(".").startsWith(option.slice(0, -1))
            : new RegExp(`(^|\\.)${end}(:|$)`).test(option);
        });
      const missing = optionsOf(schema).filter((path) => !has(path));
      expect(missing.map((path) => path.join("."))).toEqual([]);
    },
  );

  test("says of every row whether it is so, and why not", () => {
    const bare = rows.filter(
      ({ cells }) => cells.length !== 3 || cells[1] === "" || cells[2] === "",
    );
    expect(bare.map(({ cells }) => cells.join(" | "))).toEqual([]);
  });
});

/** The names of all fields, those within others included. */
function optionsOf(
  schema: DescMessage,
  path: readonly string[] = [],
): readonly (readonly string[])[] {
  return schema.fields.flatMap((field) => {
    // As it stands in files; some names are none that a field may have.
    const { name, jsonName } = field;
    const own = [...path, jsonName.includes("-") ? jsonName : name];
    return field.fieldKind === "message" && field.message.file === schema.file
      ? optionsOf(field.message, own)
      : field.fieldKind === "message" &&
          /\.(Queue|Redis)\w*$/.test(field.message.typeName)
        ? optionsOf(field.message, own)
        : [own];
  });
}
