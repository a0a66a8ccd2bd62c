import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { lines, problemsOf } from "../../support/problems.ts";

describe("an upstream is refused", () => {
  test.each([
    ["10.0.0.1", "not an address"],
    ["::1", "not an address"],
    ["[::1]", "not an address"],
    ["a:80", "must not have a port"],
    ["a b", "must be a host name"],
  ])("for the name %j: %s", (name, reason) => {
    expect(problemsOf({ upstream: { name } })).toEqual(lines(reason));
  });

  test.each<[JsonObject, string]>([
    [{ hash_on: "header" }, "hash_on_header: is required"],
    [{ hash_on: "cookie" }, "hash_on_cookie: is required"],
    [{ hash_on: "query_arg" }, "hash_on_query_arg: is required"],
    [{ hash_on: "uri_capture" }, "hash_on_uri_capture: is required"],
    [
      { hash_on: "ip", hash_fallback: "header" },
      "hash_fallback_header: is required",
    ],
    [{ hash_on: "ip", hash_fallback: "cookie" }, "hash_on_cookie: is required"],
    [
      { hash_on: "ip", hash_fallback: "query_arg" },
      "hash_fallback_query_arg: is required",
    ],
    [
      { hash_on: "ip", hash_fallback: "uri_capture" },
      "hash_fallback_uri_capture: is required",
    ],
    [{ hash_fallback: "ip" }, 'hash_fallback: must be "none"'],
    [
      { hash_on: "cookie", hash_on_cookie: "c", hash_fallback: "ip" },
      'hash_fallback: must be "none"',
    ],
    [{ hash_on: "ip", hash_fallback: "ip" }, "hash_fallback: must be another"],
    [
      {
        hash_on: "header",
        hash_on_header: "X-A",
        hash_fallback: "header",
        hash_fallback_header: "x-a",
      },
      "hash_fallback: must be another",
    ],
    [
      { hash_on: "header", hash_on_header: "a b" },
      "hash_on_header: must be the name of a header",
    ],
    [{ hash_on_cookie_path: "x" }, 'hash_on_cookie_path: must start with "/"'],
    [{ host_header: "a b" }, "host_header: must be a host name"],
    [{ host_header: "*.a" }, "host_header: must be a host name"],
  ])("for %j: %s", (fields, reason) => {
    expect(problemsOf({ upstream: { name: "u", ...fields } })).toEqual(
      lines(reason),
    );
  });

  test("for probes that cannot be sent", () => {
    expect(
      problemsOf({
        upstream: {
          name: "u",
          healthchecks: {
            active: {
              http_path: "/a b",
              https_sni: "10.0.0.1",
              headers: { "a b": { values: [] }, c: { values: ["x\ny"] } },
            },
          },
        },
      }).map((line) => line.split(": ")[0]),
    ).toEqual([
      "healthchecks.active.https_sni",
      "healthchecks.active.http_path",
      'healthchecks.active.headers["a b"]',
      'healthchecks.active.headers["c"].values[0]',
    ]);
  });
});
