import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { literalPrefix } from "../../../../src/dp/gateway/router/literal-prefix.ts";
import { PathIndex } from "../../../../src/dp/gateway/router/path-index.ts";
import { sortSlices } from "../../../../src/dp/gateway/router/sort-slices.ts";
import { compileRegex } from "../../../../src/model/regex.ts";
import { runSlices } from "../../../../src/model/slices.ts";

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

test("the index finds all texts that a path begins with, the longest first", () => {
  const text = fc.string({
    unit: fc.constantFrom("/", "a", "b"),
    maxLength: 6,
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(text, { maxLength: 40 }),
      text,
      (texts, path) => {
        const index = runSlices(
          PathIndex.build(new Map(texts.map((t, i) => [t, [i]]))),
        );
        const expected = texts
          .filter((t) => path.startsWith(t))
          .sort((a, b) => b.length - a.length);
        expect([...index.find(path)].map(([i]) => texts[i ?? -1])).toEqual(
          expected,
        );
      },
    ),
  );
});

test("sorting in slices sorts, keeps equal items in order and pauses often enough", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 700 }),
      (numbers) => {
        const items = numbers.map((key, at) => ({ key, at }));
        const work = sortSlices(items, (a, b) => a.key - b.key);
        let step = work.next();
        for (; step.done !== true; step = work.next())
          expect(step.value).toBeLessThanOrEqual(64);
        expect(step.value).toEqual(
          [...items].sort((a, b) => a.key - b.key || a.at - b.at),
        );
      },
    ),
  );
});
