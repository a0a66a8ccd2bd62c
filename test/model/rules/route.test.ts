import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { lines, problemsOf } from "../../support/problems.ts";

describe("a route is refused", () => {
  test("when its protocols are of two groups", () => {
    expect(
      problemsOf({ route: { protocols: ["http", "tcp"], paths: ["/"] } }),
    ).toEqual(lines('protocols: "http" and "tcp" cannot stand together'));
  });

  test.each<[JsonObject, string]>([
    [{}, "methods, hosts, paths, headers, snis"],
    [{ protocols: ["http"] }, "methods, hosts, paths, headers to match"],
    [{ protocols: ["grpc"] }, "hosts, paths, headers to match"],
    [{ protocols: ["tcp"] }, "sources, destinations to match"],
    [{ protocols: ["tls"] }, "snis, sources, destinations to match"],
    [{ protocols: ["tls_passthrough"] }, "snis to match"],
  ])("without anything to match by: %j", (route, reason) => {
    expect(problemsOf({ route })).toEqual(
      lines(`: needs at least one of ${reason}`),
    );
  });

  test.each<[JsonObject, string]>([
    [{ protocols: ["http"], paths: ["/"], snis: ["a"] }, "snis"],
    [{ protocols: ["http"], paths: ["/"], sources: [{ port: 1 }] }, "sources"],
    [{ protocols: ["grpc"], paths: ["/"], methods: ["GET"] }, "methods"],
    [{ protocols: ["tcp"], sources: [{ port: 1 }], paths: ["/"] }, "paths"],
    [{ protocols: ["tcp"], sources: [{ port: 1 }], hosts: ["a"] }, "hosts"],
    [{ protocols: ["tls_passthrough"], snis: ["a"], hosts: ["a"] }, "hosts"],
    [{ expression: "x", hosts: ["a"] }, "hosts"],
  ])("with a matcher that its protocols do not have: %j", (route, field) => {
    expect(problemsOf({ route })).toEqual(lines(`${field}: `));
  });

  test("when it is gRPC and strips its path", () => {
    expect(
      problemsOf({
        route: { protocols: ["grpc"], paths: ["/"], strip_path: true },
      }),
    ).toEqual(lines("strip_path: must be false"));
  });

  test.each([
    ["x", 'must start with "/"'],
    ["~x", 'must start with "/"'],
    ["", 'must start with "/"'],
    ["/a//b", "empty segment"],
    ["~/a//b", "empty segment"],
    ["/a/../b", 'write "/b"'],
    ["/%7ea", 'write "/~a"'],
    ["/é", 'write "/%C3%A9"'],
    ["/a%2", "not a percent-escape"],
    ["~/(", "missing closing )"],
    ["~/a(?=b)", "look-around"],
    ["~/(a)\\1", "back-reference"],
  ])("for the path %j: %s", (path, reason) => {
    expect(problemsOf({ route: { paths: ["/", path] } })).toEqual([
      expect.stringMatching(/^paths\[1\]: /),
    ]);
    expect(problemsOf({ route: { paths: ["/", path] } })).toEqual(
      lines(reason),
    );
  });

  test.each<[JsonObject, string]>([
    [{ Host: { values: ["a"] } }, "matched by the field hosts"],
    [{ "a b": { values: ["a"] } }, "not the name of a header"],
    [{ a: { values: [] } }, "needs at least one value"],
    [{ a: { values: ["~*("] } }, "missing closing )"],
  ])("for the headers %j: %s", (headers, reason) => {
    expect(problemsOf({ route: { headers } })).toEqual(lines(reason));
  });

  test("for hosts, SNIs, sources and destinations that are none", () => {
    expect(problemsOf({ route: { hosts: ["a", "*.*"] } })).toEqual(
      lines("hosts[1]: "),
    );
    expect(
      problemsOf({ route: { snis: ["a:80", "10.0.0.1", "a b"] } }),
    ).toEqual(lines("snis[0]: ", "snis[1]: ", "snis[2]: "));
    expect(
      problemsOf({
        route: {
          protocols: ["tcp"],
          sources: [{}, { ip: "a" }],
          destinations: [{ ip: "10.0.0.0/33" }],
        },
      }),
    ).toEqual(lines("sources[0]: ", "sources[1].ip: ", "destinations[0].ip: "));
  });
});
