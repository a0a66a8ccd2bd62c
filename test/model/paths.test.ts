import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { isRegexPath, normalisePath } from "../../src/model/paths.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

test.each([
  ["/", "/"],
  ["", "/"],
  ["/a/b", "/a/b"],
  ["/a/b/", "/a/b/"],
  ["//a///b", "/a/b"],
  ["/a/./b", "/a/b"],
  ["/a/../b", "/b"],
  ["/a/..", "/"],
  ["/a/b/..", "/a/"],
  ["/a/.", "/a/"],
  ["/../..", "/"],
  ["/a/%2e%2E/b", "/b"],
  ["/.well-known/x", "/.well-known/x"],
  ["/a...b/..c", "/a...b/..c"],
  ["/%7euser/%41", "/~user/A"],
  ["/a%2fb%c3%a9", "/a%2Fb%C3%A9"],
  ["/a b/é", "/a%20b/%C3%A9"],
  ["/\u{1f600}", "/%F0%9F%98%80"],
  ["/a%zz", "/a%zz"],
  ["a", "/a"],
])("the path %j is matched as %j", (path, normal) => {
  expect(normalisePath(path)).toBe(normal);
});

test("normalising twice is the same as once", () => {
  const part = fc.constantFrom(
    "/",
    ".",
    "..",
    "%2e",
    "%2F",
    "%",
    "a",
    "é",
    " ",
  );
  fc.assert(
    fc.property(
      fc.array(part).map((parts) => `/${parts.join("")}`),
      (path) => {
        const once = normalisePath(path);
        expect(once.startsWith("/")).toBe(true);
        expect(once).not.toContain("//");
        // "%" and "2e" that come together only by decoding are no escape.
        if (!path.includes("%%") && !/%(?![0-9a-fA-F]{2})/.test(path))
          expect(normalisePath(once)).toBe(once);
      },
    ),
  );
});

test("a path that begins with a tilde is a regular expression", () => {
  expect(isRegexPath("~/a")).toBe(true);
  expect(isRegexPath("/~a")).toBe(false);
});
