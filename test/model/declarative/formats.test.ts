import { describe, expect, test } from "vitest";
import { migratePath } from "../../../src/model/declarative/migrate-path.ts";
import { problemsOf, resourcesOf } from "./parsing.ts";

describe("paths of formats before 3.0", () => {
  const cases: [string, string][] = [
    ["/prefix", "/prefix"],
    ["/a-b_c.d~e/%41", "/a-b_c.d~e/A"],
    ["/a//b/../c", "/a/c"],
    ["/regex.+", "~/regex.+"],
    ["/(?<id>[^/]+)$", "~/(?<id>[^/]+)$"],
    ["/%41(%2f|%2E|%c3%a9|%ff)", "~/A(%2F|\\.|é|%FF)"],
    ["relative", "relative"],
  ];
  for (const [old, migrated] of cases)
    test(`${old} becomes ${migrated}`, () => {
      expect(migratePath(old)).toBe(migrated);
    });

  const file = (format: string) => `
_format_version: "${format}"
services:
- {name: s, host: h, routes: [{name: nested, paths: [/regex.+, /prefix]}]}
routes:
- {name: top, paths: ["/[a-z]"]}`;
  const pathsIn = (text: string) =>
    resourcesOf(text).flatMap(
      (resource) =>
        (resource as { route?: { paths: string[] } }).route?.paths ?? [],
    );

  for (const format of ["1.1", "2.1"])
    test(`are migrated in a file of format ${format}, nested and at the top`, () => {
      expect(pathsIn(file(format))).toEqual([
        "~/regex.+",
        "/prefix",
        "~/[a-z]",
      ]);
    });

  test("are left alone in a file of format 3.0", () => {
    expect(pathsIn(file("3.0"))).toEqual(["/regex.+", "/prefix", "/[a-z]"]);
  });

  test("are checked after they are migrated", () => {
    expect(
      problemsOf('_format_version: "1.1"\nroutes: [{name: r, paths: [/a(b]}]'),
    ).toEqual([expect.stringMatching(/^2:28: route "r": paths\[0\]: /)]);
  });

  test('a regular expression that already has its "~" is refused with what to do', () => {
    expect(
      problemsOf(
        '_format_version: "1.1"\nroutes: [{name: r, paths: ["~/a/[^/]+"]}]',
      ),
    ).toEqual([
      '2:28: route "r": paths[0]: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
    ]);
  });
});
