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
              const found: RankList<number>[] = [];
              if (tree !== undefined) findTexts(tree, path, found);
              return found.map((list) => list.flat());
            }),
          );
        const expected = (): string =>
          JSON.stringify(
            paths.map((path) =>
              [...model]
                .filter(([text, { size }]) => size > 0 && path.startsWith(text))
                .sort(([a], [b]) => a.length - b.length)
                .map(([, items]) => [...items].sort(compareNumbers)),
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
