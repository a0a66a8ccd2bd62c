import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { parseTarget } from "../../src/model/targets.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

describe("a target", () => {
  test.each([
    ["a.example", "a.example", 8000, "a.example:8000"],
    ["A.example:80", "a.example", 80, "a.example:80"],
    ["10.0.0.1", "10.0.0.1", 8000, "10.0.0.1:8000"],
    ["10.0.0.1:1", "10.0.0.1", 1, "10.0.0.1:1"],
    ["[::1]:80", "::1", 80, "[::1]:80"],
    ["[0::1]", "::1", 8000, "[::1]:8000"],
    ["::1", "::1", 8000, "[::1]:8000"],
    ["my_service", "my_service", 8000, "my_service:8000"],
  ])("%s is read", (text, host, port, normalised) => {
    expect(parseTarget(text)).toEqual({ ok: true, host, port, normalised });
    expect(parseTarget(normalised)).toMatchObject({ host, port, normalised });
  });

  test.each([
    "",
    ":80",
    "a:0",
    "a:65536",
    "a:b",
    "a b",
    "300.0.0.1",
    "[a]:80",
    "http://a",
    "a:80/x",
    "a:80:80",
  ])("%j is refused", (text) => {
    const parsed = parseTarget(text);
    expect(parsed.ok).toBe(false);
    expect(parsed).toHaveProperty(
      "reason",
      expect.stringContaining(JSON.stringify(text)),
    );
  });

  test("never throws, and its form is read back as itself", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV6(), fc.domain()), (text) => {
        const parsed = parseTarget(text);
        if (parsed.ok)
          expect(parseTarget(parsed.normalised)).toEqual({ ...parsed });
      }),
    );
  });
});
