import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { fillPlaceholders } from "../../../src/model/declarative/fill-placeholders.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { problemsOf } from "./parsing.ts";

const PEM = "-----BEGIN X-----\nabc\n-----END X-----\n";

const VALUES = {
  DECK_HOST: "pay.internal",
  DECK_PORT: "8443",
  DECK_ON: "true",
  DECK_PEM: PEM,
  DECK_NASTY: 'a: "b" # \\ \' ${{ env "DECK_HOST" }} {[',
  DECK_EMPTY: "",
  HOME: "/somewhere",
};

function fill(content: string, shell = false) {
  return fillPlaceholders(
    { name: "f.yml", content },
    { values: VALUES, shell },
  );
}

function filled(content: string, shell = false): unknown {
  const { file, problems } = fill(content, shell);
  expect(problems.map(describeProblem)).toEqual([]);
  return parseYaml(file.content);
}

describe("a placeholder is filled in", () => {
  test.each([
    ["plain", 'a: ${{ env "DECK_HOST" }}', "pay.internal"],
    ["as a number", 'a: ${{ env "DECK_PORT" }}', 8443],
    ["as text in quotes", `a: '\${{ env "DECK_PORT" }}'`, "8443"],
    [
      "as a number from quotes that ask for it",
      'a: "${{ env "DECK_PORT" | toInt }}"',
      8443,
    ],
    ["as a boolean", "a: ${{ env `DECK_ON` | toBool }}", true],
    [
      "in the middle",
      'a: "https://${{env "DECK_HOST"}}:${{ env \\"DECK_PORT\\" }}/x"',
      "https://pay.internal:8443/x",
    ],
    ["with its lines, in quotes", 'a: "${{ env "DECK_PEM" }}"', PEM],
    [
      "with its lines, in a block",
      'a: |\n  ${{ env "DECK_PEM" | indent 2 }}',
      PEM,
    ],
    [
      "with everything that YAML has a meaning for",
      'a: ${{ env "DECK_NASTY" }}',
      VALUES.DECK_NASTY,
    ],
    ["as nothing", 'a: ${{ env "DECK_EMPTY" }}', null],
    ["in JSON", '{"a": ${{ env "DECK_PORT" }}}', 8443],
  ])("%s", (_, content, value) => {
    expect(filled(content)).toEqual({ a: value });
  });

  test("and everything behind it keeps its line, and its column can be told", () => {
    const content = [
      'x: {a: ${{ env "DECK_NASTY" }}, b: 1}',
      "y: |",
      "  one",
      '  ${{ env "DECK_PEM" }}',
      "z: 2",
      'w: [${{ env "DECK_PORT" }}, 3]',
    ].join("\n");
    const { file, before } = fill(content);
    const lines = file.content.split("\n");
    expect(lines).toHaveLength(6);
    expect(lines[4]).toBe("z: 2");
    expect(lines[5]!.lastIndexOf("3")).toBe(
      content.split("\n")[5]!.lastIndexOf("3"),
    );
    const column = lines[0]!.lastIndexOf("b: 1") + 1;
    expect(before({ file: "f.yml", line: 1, column })).toEqual({
      file: "f.yml",
      line: 1,
      column: content.indexOf("b: 1") + 1,
    });
  });

  test("and not in a comment", () => {
    const content = 'a: 1 # ${{ env "NOPE" }}\n';
    expect(fill(content).file.content).toBe(content);
    expect(problemsOf(content)).toEqual([
      "1:1: a: unknown key at the top of the file",
    ]);
  });
});

test("what cannot be filled in is told with its place, and never with the value", () => {
  const { problems } = fill(
    'a: ${{ env "DECK_NONE" }}\nb: ${{ env "HOME" }}\nc: ${{ getenv "DECK_X" }}\nd: "${{ env "DECK_HOST" | toInt }}"',
  );
  expect(problems.map(describeProblem)).toEqual([
    "f.yml:1:4: DECK_NONE is not set in the environment",
    'f.yml:2:4: ${{ env "HOME" }} names HOME: the names of variables in a file start with DECK_',
    expect.stringMatching(/^f.yml:3:4: .* is not understood: write/),
    "f.yml:4:5: DECK_HOST in the environment is not a whole number, as toInt wants it",
  ]);
});

test("$NAME is a placeholder on request only", () => {
  const content = "a: $HOME\nb: ${HOME}/x\nc: $(headers.x) $1 $\nd: $$HOME";
  expect(filled(content)).toMatchObject({ a: "$HOME", d: "$$HOME" });
  expect(filled(content, true)).toEqual({
    a: "/somewhere",
    b: "/somewhere/x",
    c: "$(headers.x) $1 $",
    d: "$HOME",
  });
  expect(fill("a: $NONE\nb: ${HOME:-x}", true).problems).toHaveLength(2);
});

test("a placeholder that reaches the parser is refused, wherever it stands", () => {
  expect(
    problemsOf('services: [{name: s, host: "${{ env "DECK_H" }}"}]'),
  ).toEqual([
    expect.stringMatching(
      /^1:29: \$\{\{ env "DECK_H" \}\} is a placeholder that nobody has filled in/,
    ),
  ]);
});

test("no value gets out of the text in which its placeholder stands", () => {
  fc.assert(
    fc.property(
      fc
        .string({ unit: "binary" })
        .filter((text) => !/\p{Surrogate}/u.test(text)),
      fc.constantFrom(
        '"${{ env "DECK_V" }}"',
        "'${{ env `DECK_V` }}'",
        "|-\n    ${{ env `DECK_V` }}",
      ),
      (value, written) => {
        const { file, problems } = fillPlaceholders(
          { name: "f.yml", content: `x:\n  a: ${written}\n  b: 1\n` },
          { values: { DECK_V: value }, shell: false },
        );
        expect(problems).toEqual([]);
        expect(parseYaml(file.content)).toEqual({ x: { a: value, b: 1 } });
      },
    ),
    { numRuns: 100 },
  );
});
