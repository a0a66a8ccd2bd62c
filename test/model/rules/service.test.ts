import { describe, expect, test } from "vitest";
import { lines, problemsOf } from "../../support/problems.ts";

describe("a service is refused", () => {
  test.each([
    ["a:80", "put 80 into the field port"],
    ["http://a", "a whole URL goes into the field url"],
    ["[::1]", "without brackets"],
    ["a b", "must be a host name"],
    ["256.0.0.1", "must be a host name"],
  ])("for the host %j: %s", (host, reason) => {
    expect(problemsOf({ service: { host } })).toEqual(lines(reason));
  });

  test.each([
    ["x", 'must start with "/"'],
    ["/a//b", "empty segment"],
    ["/a%2", "not a percent-escape"],
    ["/a b", 'escape it as "%20"'],
    ["/a?b", 'the character "?"'],
    ["/é", 'escape it as "%C3%A9"'],
  ])("for the path %j: %s", (path, reason) => {
    expect(problemsOf({ service: { host: "a", path } })).toEqual(lines(reason));
  });

  test.each([
    ["a.example", 'is not of the form "protocol://host:port/path"'],
    ["http://u@a.example", "has a user name"],
    ["http://a.example/?x", "has a query"],
    ["http://a:b", "is not of the form"],
  ])("for the url %j: %s", (url, reason) => {
    expect(problemsOf({ service: { host: "a", url } })).toEqual(lines(reason));
  });

  test("for a url whose parts are wrong, by the fields of the parts", () => {
    expect(problemsOf({ service: { url: "ftp://a_!:99999" } })).toEqual(
      lines("protocol: must be one of http", "port: must be from", "host: "),
    );
  });
});
