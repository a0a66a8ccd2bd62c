import { describe, expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { readPlainScalar } from "../../../src/model/declarative/scalar.ts";
import { parse, problemsOf, resourcesOf, warningsOf } from "./parsing.ts";

/** What a plugin's config becomes: anything is allowed there. */
function configOf(text: string): unknown {
  const [resource] = resourcesOf(
    `plugins: [{name: p, config: {value: ${text}}}]`,
  );
  return (resource as { plugin: { config: { value: unknown } } }).plugin.config
    .value;
}

describe("scalars are read as YAML 1.1", () => {
  const cases: [string, unknown][] = [
    ["yes", true],
    ["On", true],
    ["TRUE", true],
    ["no", false],
    ["Off", false],
    ["y", "y"],
    ["N", "N"],
    ["tRue", "tRue"],
    ["~", null],
    ["Null", null],
    ["", null],
    ["nUll", "nUll"],
    ["0", 0],
    ["-12", -12],
    ["+1_000", 1000],
    ["017", 15],
    ["-0x1F", -31],
    ["0b101", 5],
    ["08", "08"],
    ["0o17", "0o17"],
    ["1:30", 90],
    ["1:02:03.5", 3723.5],
    ["1:60", "1:60"],
    ["1.5", 1.5],
    [".5", 0.5],
    ["1e3", 1000],
    ["-1.5E-1", -0.15],
    ["1.2.3", "1.2.3"],
    ["127.0.0.1", "127.0.0.1"],
    ["2024-01-31", "2024-01-31"],
    ["-", "-"],
    ["+", "+"],
    [".", "."],
    [".inf", Infinity],
    ["-.Inf", -Infinity],
    [".NaN", NaN],
    ["/path", "/path"],
  ];
  for (const [text, value] of cases)
    test(`${JSON.stringify(text)} is ${JSON.stringify(value)}`, () => {
      expect(readPlainScalar(text)).toEqual(value);
    });

  test("quotes, blocks and !!str make text of anything", () => {
    expect(configOf(`['yes', "1", !!str 1, ! 2]`)).toEqual([
      "yes",
      "1",
      "1",
      "2",
    ]);
    expect(configOf(`!!int "7"`)).toBe(7);
  });

  test("infinity has no form in JSON and is refused", () => {
    expect(problemsOf("plugins: [{name: p, config: {a: .inf}}]")).toEqual([
      `1:33: plugins[0].config.a: infinity and not-a-number cannot be stored`,
    ]);
  });

  test("an unknown tag is a warning", () => {
    expect(warningsOf("plugins: [{name: p, config: {a: !vault x}}]")).toEqual([
      "1:40: plugins[0].config.a: the tag !vault is ignored",
    ]);
  });
});

describe("JSON", () => {
  test("is read like YAML, indented with tabs too", () => {
    const text =
      '{\n\t"_format_version": "3.0",\n\t"services": [\n\t\t{"name": "a\\/b\\ud83d\\ude00", "host": "h"}\n\t]\n}';
    const { problems, entities } = parse(text);
    expect(problems.map(({ line, field }) => `${line} ${field}`)).toEqual([
      "4 name",
    ]);
    expect(entities[0]?.resource.kind.value).toMatchObject({ name: "a/b😀" });
  });
});

describe("anchors, aliases and merge keys", () => {
  test("an alias repeats what it names", () => {
    expect(
      resourcesOf(`
services:
- {name: a, host: h, tags: &tags [x, y]}
- {name: b, host: h, tags: *tags}`),
    ).toEqual([
      { service: { name: "a", host: "h", tags: ["x", "y"] } },
      { service: { name: "b", host: "h", tags: ["x", "y"] } },
    ]);
  });

  test("what is written out wins over what is merged, and an earlier merge over a later one", () => {
    expect(
      configOf(
        "[&a {x: 1, y: 1}, &b {y: 2, z: 2}, {y: 0, <<: *a}, {<<: [*a, *b]}]",
      ),
    ).toEqual([
      { x: 1, y: 1 },
      { y: 2, z: 2 },
      { y: 0, x: 1 },
      { x: 1, y: 1, z: 2 },
    ]);
  });

  test("a merge of something else than maps, an unknown alias and one inside its own anchor are problems", () => {
    expect(problemsOf("_ignore: [{<<: [1]}, *no, &self [*self]]")).toEqual([
      "1:17: _ignore[0].<<: expected a map or a list of maps to merge, got a scalar",
      "1:22: _ignore[1]: no anchor &no stands before this alias",
      "1:34: _ignore[2][0]: the alias *self stands inside what it names",
    ]);
  });

  test("a problem in what an alias names says where that stands, under the alias's path", () => {
    const { problems } = parse(`
plugins:
- {name: a, tags: &tags [1]}
- {name: b, tags: *tags}`);
    expect(
      problems.map(({ line, column, path }) => `${line}:${column} ${path}`),
    ).toEqual(["3:26 plugins[0].tags[0]", "3:26 plugins[1].tags[0]"]);
  });

  test("aliases that multiply to something huge are refused", () => {
    const bomb = Array.from({ length: 9 }, (_, i) =>
      i === 0
        ? "- &a0 [x, x, x, x, x, x, x, x, x, x]"
        : `- &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(", ")}]`,
    );
    expect(problemsOf(`_ignore:\n${bomb.join("\n")}`)).toEqual([
      "8:8: _ignore[6][0]: aliases and merge keys add more than 33554432 characters to the file",
    ]);
  });

  test("aliases that nest without end are refused", () => {
    const chain = Array.from({ length: 100 }, (_, i) =>
      i === 0 ? "- &a0 x" : `- &a${i} [[*a${i - 1}]]`,
    );
    expect(problemsOf(`_ignore:\n${chain.join("\n")}`)).toEqual([
      expect.stringContaining("nested more than 64 levels deep, aliases"),
    ]);
  });
});

describe("documents", () => {
  test("only the first is read, with a warning about the others", () => {
    const text = `---\n_format_version: "3.0"\nservices: [{name: a, host: h}]\n---\nservices: {{{`;
    expect(problemsOf(text)).toEqual([]);
    expect(parse(text).entities).toHaveLength(1);
    expect(warningsOf(text)).toEqual([
      "4:1: only the first YAML document of a file is read; this one and what follows is not",
    ]);
  });

  test("a byte order mark, CRLF, comments and a directive are no problem", () => {
    const text = `\uFEFF# c\r\n%YAML 1.1\r\n---\r\n_format_version: "3.0"\r\nservices:\r\n- {name: a, host: h}\r\n...\r\n`;
    expect(problemsOf(text)).toEqual([]);
    expect(parse(text).entities).toHaveLength(1);
  });

  test("a repeated key is a warning and the last one wins", () => {
    const text = "services:\n- name: a\n  host: x\n  host: y";
    expect(resourcesOf(text)).toEqual([{ service: { name: "a", host: "y" } }]);
    expect(warningsOf(text)).toEqual([
      "4:3: services[0].host: the key is repeated: this one is used, the one at 3:3 is not",
    ]);
  });

  test("syntax errors are reported with line and column, at most ten of them", () => {
    expect(problemsOf("services:\n  - a\n b: c")[0]).toMatch(
      /^3:1: not valid YAML: /,
    );
    const many = problemsOf(`"a" ${'"b" '.repeat(100)}`);
    expect(many).toHaveLength(11);
    expect(many.at(-1)).toMatch(/more errors from here on$/);
  });

  test("a template that was not rendered is called one", () => {
    expect(problemsOf("services:\n{{ range }}\n- a")[0]).toMatch(
      /looks like a template: render it first$/,
    );
  });

  test("a key must be text, and not one that JavaScript loses", () => {
    expect(problemsOf("_ignore: [{[a]: b}, {__proto__: c}]")).toEqual([
      "1:12: _ignore[0]: a key must be text, not a list",
      '1:22: _ignore[1]: "__proto__" cannot be a key',
    ]);
  });
});

describe("bounds", () => {
  const deep: [string, string][] = [
    ["flow lists", `_ignore: ${"[".repeat(100_000)}`],
    ["flow maps", `_ignore: ${"{a: ".repeat(20_000)}`],
    ["block lists", `${"- ".repeat(10_000)}a`],
    [
      "block maps",
      Array.from({ length: 2000 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"),
    ],
    ["complex keys", `${"? ".repeat(10_000)}a`],
  ];
  for (const [what, text] of deep)
    test(`${what} nested without end are refused`, () => {
      expect(problemsOf(text)).toEqual([
        expect.stringContaining("nested more than 64 levels deep"),
      ]);
    });

  test("what is far to the right without being nested is read", () => {
    const wide = " ".repeat(300);
    expect(
      configOf(`[\n${wide}a,\n${wide}# c\n${wide}{b: "x\n${wide}- y"}]`),
    ).toEqual(["a", { b: "x - y" }]);
    expect(
      resourcesOf(
        `services:\n- name: a\n${wide}\n${wide}# comment\n  host:${wide}h`,
      ),
    ).toEqual([{ service: { name: "a", host: "h" } }]);
  });

  test("sixty levels are read", () => {
    const text = `${"[".repeat(60)}${"]".repeat(60)}`;
    expect(problemsOf(`_ignore: ${text}`)).toEqual([]);
  });

  test("a huge scalar is refused by the size of its entity", () => {
    const text = `plugins: [{name: p, config: {a: "${"x".repeat(5_000_000)}"}}]`;
    expect(problemsOf(text)).toEqual([
      expect.stringContaining("at most 262144 are allowed"),
    ]);
  });

  test("a file too long to be read is refused unread", () => {
    const content = " ".repeat(32 * 1024 * 1024 + 1);
    const { problems } = parseDeclarative([{ name: "f.yml", content }]);
    expect(problems).toMatchObject([{ file: "f.yml", line: 1, column: 1 }]);
    expect(problems[0]?.message).toMatch(/^the file has 33554433 characters/);
  });

  test("fifty thousand lines are read in seconds", () => {
    const plugins = Array.from({ length: 740 }, (_, i) => {
      const config = Array.from(
        { length: 60 },
        (_, k) => `    key_${k}: value ${k} of ${i}`,
      );
      return [
        `- name: custom-${i}`,
        `  enabled: true`,
        `  config:`,
        ...config,
      ].join("\n");
    });
    const text = `plugins:\n${plugins.join("\n")}`;
    const before = performance.now();
    expect(parse(text).entities).toHaveLength(740);
    expect(performance.now() - before).toBeLessThan(20_000);
  }, 30_000);
});
