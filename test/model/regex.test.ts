import { cpuUsage } from "node:process";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { compileRegex, type Regex } from "../../src/model/regex.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

function compile(source: string): Regex {
  const compiled = compileRegex(source);
  if (!compiled.ok) throw new Error(compiled.reason);
  return compiled.regex;
}

describe("a regular expression", () => {
  test("matches from the start and says what it captured", () => {
    const regex = compile("/v(?<n>\\d+)(?:/(x))?");
    expect(regex.matchStart("/v12/y")).toEqual({
      text: "/v12",
      groups: ["12", undefined],
      named: new Map([["n", "12"]]),
    });
    expect(regex.matchStart("/v1/x/z")?.groups).toEqual(["1", "x"]);
    expect(regex.matchStart("/a/v1")).toBeUndefined();
    expect(regex.test("/a/v1")).toBe(true);
    expect(regex.test("/a")).toBe(false);
    expect(regex.source).toBe("/v(?<n>\\d+)(?:/(x))?");
  });

  test("takes both ways to name a group, and prefers the first alternative", () => {
    expect(compile("(?P<a>x)").matchStart("x")?.named.get("a")).toBe("x");
    expect(compile("/a|/ab").matchStart("/ab")?.text).toBe("/a");
  });

  test.each([
    ["/(?=a)", "look-around"],
    ["/(?!a)", "look-around"],
    ["/(?<=a)b", "look-around"],
    ["/(?<!a)b", "look-around"],
    ["/(a)\\1", "back-reference"],
    ["/(?<n>a)\\k<n>", "back-reference"],
    ["/(?P<n>a)(?P=n)", "back-reference"],
    ["/(", "missing closing )"],
    ["/[a", "missing closing ]"],
    ["/a{2000}", "invalid repeat count"],
    ["/(?>a)", "RE2 syntax"],
    ["/a++", "RE2 syntax"],
  ])("%s is refused: %s", (source, word) => {
    const compiled = compileRegex(source);
    expect(compiled.ok).toBe(false);
    expect(compiled).toHaveProperty("reason", expect.stringContaining(word));
    expect(compiled).toHaveProperty(
      "reason",
      expect.stringContaining(JSON.stringify(source)),
    );
  });

  test.each([
    ["one repeat after the other", "/" + "a{1000}".repeat(4)],
    ["with repeats of a class", "\\w{1000}[^/]{0,900}\\pL{600}"],
    ["a repeated long text", `/(?:${"abc".repeat(100)}){8}`],
    ["repeats in repeats", "(?:(?:(?:a|b){9}){9}){9}"],
    [
      "repeats behind a class and a quotation",
      "[]{]\\Q[\\E(x{700}y{700}){1}z{900}",
    ],
    ["a long text", "a".repeat(200_000)],
    ["so many repeats that no memory would do", "a{1000}".repeat(30_000)],
  ])("is refused when it is too large: %s", (_, source) => {
    const started = cpuUsage();
    const compiled = compileRegex(source);
    expect(cpuUsage(started).user).toBeLessThan(200_000);
    expect(compiled).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/too large: .* and may be 2000/) as string,
    });
    expect(compiled).toHaveProperty(
      "reason.length",
      expect.toSatisfy((length: number) => length < 400),
    );
  });

  test.each([
    "/(?:[a-z]{1,63}\\.){1,8}[a-z]{2,63}",
    "/v\\d{1,3}/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "(?i)/(?P<id>\\w{1,255})/[{}\\]]{3}",
    "/.{0,900}",
  ])("is taken when it is of an ordinary size: %s", (source) => {
    expect(compileRegex(source).ok).toBe(true);
  });

  test("takes no longer for a text that other engines choke on", () => {
    const regex = compile("/(a+)+$");
    const started = performance.now();
    expect(regex.matchStart(`/${"a".repeat(5000)}!`)).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test.each([
    ["/(a*)*b", "a"],
    ["/(a|aa)+$", "a"],
    ["/(a|a?)+b", "a"],
    ["/(.*)*(.*)*x$", "a"],
    ["/([a-zA-Z]+)*1", "a"],
    ["/(\\w+\\s?)*!", "ab "],
    ["/((a{1,9}){1,9}){1,2}$", "a"],
    ["(?i)/(x+x+)+y", "x"],
  ])("%s takes time in proportion to the text", (source, unit) => {
    const regex = compile(source);
    const started = cpuUsage();
    // Often enough to be read in its other form too.
    for (let i = 0; i < 6; i++) {
      const text = `/${unit.repeat(4000)}#`;
      expect(regex.matchStart(text)).toBeUndefined();
      expect(regex.test(text)).toBe(false);
    }
    // In microseconds, whatever else the machine does.
    expect(cpuUsage(started).user).toBeLessThan(2_000_000);
  });

  test("says the same after it was tried in vain as before", () => {
    const part = fc.constantFrom(
      ...["/", "a", "b", ".", "\\d", "(a|b)", "[^b]", "|", "*", "+", "?"],
      ...["{2}", "(?i)", "(?m)", "^", "$", "(", ")", "\\b", "\\Q|", "\\E"],
    );
    const texts = fc.array(
      fc.string({ unit: fc.constantFrom("/", "a", "b", "1", "|", "A", "\n") }),
      { minLength: 3, maxLength: 3 },
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), texts, (parts, some) => {
        const source = parts.join("");
        const often = compileRegex(source);
        if (!often.ok) return;
        for (let i = 0; i < 5; i++) often.regex.matchStart("\u0000");
        for (const text of some)
          expect(often.regex.matchStart(text)).toEqual(
            compile(source).matchStart(text),
          );
      }),
      { numRuns: 1000 },
    );
  });

  test("never throws, whatever the text", () => {
    const piece = fc.oneof(
      fc.constantFrom("(", ")", "[", "]", "?", "<", "\\", "P", "{1,", "|", "*"),
      fc.string({ unit: "binary", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(piece), fc.string(), (pieces, text) => {
        const compiled = compileRegex(pieces.join(""));
        if (compiled.ok) {
          compiled.regex.matchStart(text);
          compiled.regex.test(text);
        } else expect(compiled.reason).not.toBe("");
      }),
      { numRuns: 300 },
    );
  });
});
