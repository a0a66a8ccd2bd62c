import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { literalPrefix } from "../../../../src/dp/gateway/router/literal-prefix.ts";
import {
  findTexts,
  withoutText,
  withText,
  type PathNode,
} from "../../../../src/dp/gateway/router/path-tree.ts";
import {
  withoutRanked,
  withRanked,
  type RankList,
} from "../../../../src/dp/gateway/router/rank-list.ts";
import { requiredTexts } from "../../../../src/dp/gateway/router/required-texts.ts";
import { newEdit } from "../../../../src/dp/gateway/shared-map.ts";
import { compileRegex } from "../../../../src/model/regex.ts";

describe("the literal beginning of an expression", () => {
  test.each([
    ["/v1/users/\\d+", "/v1/users/"],
    ["/a", "/a"],
    ["^/a", "/a"],
    ["/a\\.b", "/a.b"],
    ["/ab*", "/a"],
    ["/ab{2}", "/a"],
    ["/ab(?i)?", "/a"],
    ["/a|/b", ""],
    ["/x(a|b)", "/x"],
    ["/x[|]y|z", ""],
    ["/x[|]y", "/x"],
    ["/a\\Q|\\E", ""],
    ["(?i)/a", ""],
    ["", ""],
  ])("%j begins with %j", (source, prefix) => {
    expect(literalPrefix(source)).toBe(prefix);
  });

  test("is the beginning of every text that the expression matches", () => {
    const part = fc.constantFrom(
      "/",
      "a",
      "b",
      "\\.",
      ".",
      "\\d",
      "(a|b)",
      "[a|]",
      "|",
      "*",
      "+",
      "?",
      "{2}",
      "(?i)",
      "^",
      "$",
      "(",
      ")",
      "\\Q|\\E",
      "\\Q\\E",
      "[]a|]",
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 6 }),
        fc.string({
          unit: fc.constantFrom("/", "a", "b", ".", "1", "|", "A"),
          maxLength: 6,
        }),
        (parts, text) => {
          const source = parts.join("");
          const compiled = compileRegex(source);
          if (!compiled.ok || compiled.regex.matchStart(text) === undefined)
            return;
          expect(text.startsWith(literalPrefix(source))).toBe(true);
        },
      ),
      { numRuns: 5_000 },
    );
  }, 30_000);
});

describe("the texts that an expression needs", () => {
  test.each([
    ["/[a-z]+/orders/\\d+", ["/orders/"]],
    ["/\\w+/x", ["/x"]],
    ["/[^/]+/reports/(?P<year>\\d{4})$", ["/reports/"]],
    ["/(en|de)/shop/.*", ["/shop/"]],
    ["/.*/(inner|x)", []],
    ["/.*/(?:inner)+end", ["inner", "end"]],
    ["/.*/(inner)?end", ["end"]],
    ["/.*abc{2}de", ["abc", "de"]],
    ["/.*abc{0,2}de", ["ab", "de"]],
    ["/.*abc+?de", ["abc", "de"]],
    ["/a.b|/c.d", []],
    ["/\\d+/a\\.b", ["/a.b"]],
    ["/[]x|]abc", ["abc"]],
    ["/[[:alpha:]]abc", ["abc"]],
    ["/\\x41bc", []],
    ["/\\pLbc", []],
    ["/.*\\Q|\\Ebc", []],
  ])("%j: %j", (source, texts) => {
    expect([...requiredTexts(source).texts].sort()).toEqual([...texts].sort());
  });

  test("are looked for without regard to case when any part of the expression has none", () => {
    expect(requiredTexts("/.*/(?i)Abc")).toEqual({
      texts: ["abc"],
      ignoresCase: true,
    });
  });

  test("what is known already is left out", () => {
    expect(requiredTexts("/api/\\d+/x1", "/api/").texts).toEqual(["/x1"]);
  });

  test("stand in every text that the expression matches", () => {
    const part = fc.constantFrom(
      ...["/", "a", "b", "ab", "/a", "\\.", ".", "\\d", "\\x61", "\\pL", "\\a"],
      ...[
        "(a|b)",
        "(ab)",
        "(?:ab)",
        "(?P<n>ab)",
        "[a|]",
        "[^b]",
        "[]a]",
        "[[:alpha:]]",
      ],
      ...["|", "*", "+", "?", "{2}", "{0}", "{0,1}", "{1,}", "{,2}", "{", "}"],
      ...["(?i)", "(?s)", "(?i:A)", "(?-i)", "^", "$", "(", ")", "\\b"],
      ...["\\Q|\\E", "\\Q\\E", "[\\]b]", "[[:x", "(?", "A"],
    );
    let matched = 0;
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 7 }),
        fc.array(
          fc.string({
            unit: fc.constantFrom("/", "a", "b", ".", "1", "|", "A", "ab"),
            maxLength: 6,
          }),
          { minLength: 5, maxLength: 5 },
        ),
        (parts, texts) => {
          const source = parts.join("");
          const compiled = compileRegex(source);
          if (!compiled.ok) return;
          const { texts: needed, ignoresCase } = requiredTexts(source);
          for (const text of texts) {
            if (compiled.regex.matchStart(text) === undefined) continue;
            matched++;
            const looked = ignoresCase ? text.toLowerCase() : text;
            expect(needed.filter((one) => !looked.includes(one))).toEqual([]);
          }
        },
      ),
      { numRuns: 8_000 },
    );
    expect(matched).toBeGreaterThan(100);
  }, 30_000);
});

const compareNumbers = (a: number, b: number): number => a - b;

const textOfPaths = fc.string({
  unit: fc.constantFrom("/", "a", "b"),
  maxLength: 6,
});

test("the tree finds all texts that a path begins with, whatever was put and taken away before, and no version changes", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          text: textOfPaths,
          item: fc.nat(3),
          put: fc.boolean(),
          /** Whether the change is made under the edit of the one before. */
          together: fc.boolean(),
        }),
        { maxLength: 40 },
      ),
      fc.array(textOfPaths, { minLength: 1, maxLength: 5 }),
      (changes, paths) => {
        let edit = newEdit();
        let tree: PathNode<number> | undefined;
        const model = new Map<string, Set<number>>();
        const told = (): string =>
          JSON.stringify(
            paths.map((path) => {
              const found = tree === undefined ? [] : findTexts(tree, path);
              return found.map(({ items, length }) => [
                path.slice(0, length),
                ...items.flat(),
              ]);
            }),
          );
        const expected = (): string =>
          JSON.stringify(
            paths.map((path) =>
              [...model]
                .filter(([text, { size }]) => size > 0 && path.startsWith(text))
                .sort(([a], [b]) => a.length - b.length)
                .map(([text, items]) => [
                  text,
                  ...[...items].sort(compareNumbers),
                ]),
            ),
          );
        for (const { text, item, put, together } of changes) {
          const before = { tree, told: told() };
          if (!together) edit = newEdit();
          const change = put ? withText : withoutText;
          tree = change(tree, text, item, compareNumbers, edit);
          const items = model.get(text) ?? new Set();
          model.set(text, items);
          if (put) items.add(item);
          else items.delete(item);
          expect(told()).toBe(expected());
          if (together) continue;
          const after = tree;
          tree = before.tree;
          expect(told()).toBe(before.told);
          tree = after;
        }
        if ([...model.values()].every(({ size }) => size === 0))
          expect(tree).toBeUndefined();
      },
    ),
    { numRuns: 300 },
  );
});

test("a list of ranks is in order, however it came about, and its versions do not change", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(300), fc.boolean()), {
        maxLength: 600,
        size: "max",
      }),
      (changes) => {
        const model = new Set<number>();
        let list: RankList<number> = [];
        for (const [item, put] of changes) {
          const before = list;
          const told = before.flat().join();
          list = (put ? withRanked : withoutRanked)(list, item, compareNumbers);
          if (put) model.add(item);
          else model.delete(item);
          expect(before.flat().join()).toBe(told);
          for (const run of list) expect(run.length).toBeLessThanOrEqual(64);
        }
        expect(list.flat()).toEqual([...model].sort(compareNumbers));
      },
    ),
    { numRuns: 40 },
  );
});
