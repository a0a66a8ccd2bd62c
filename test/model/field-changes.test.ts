import type { JsonObject } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { fieldChanges } from "../../src/model/field-changes.ts";
import { redact } from "../../src/model/redact.ts";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { resource } from "../support/resources.ts";

/** `path: before -> after`, or `path: secret`. */
function lines(before: Resource, after: Resource): string[] {
  return fieldChanges(before, after, redact).map(
    ({ path, before: was = "-", after: is = "-", secret }) =>
      secret ? `${path}: secret` : `${path}: ${was} -> ${is}`,
  );
}

test("fields are named from the resource down, as the .proto files do", () => {
  const upstream = (timeout: number, headers: Record<string, string[]>) =>
    resource("upstream", {
      name: "u",
      healthchecks: {
        active: {
          timeout,
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, values]) => [name, { values }]),
          ),
        },
      },
    });
  expect(
    lines(
      upstream(1, { "x-a": ["b"], gone: ["c"] }),
      upstream(2, { "x-a": ["d"] }),
    ),
  ).toEqual([
    "healthchecks.active.timeout: 1 -> 2",
    'healthchecks.active.headers["x-a"].values[0]: "b" -> "d"',
    'healthchecks.active.headers.gone: {"values":["c"]} -> -',
  ]);
});

test.each([
  [["/a", "/b"], ["/a", "/b"], []],
  [["/a", "/b", "/c"], ["/b", "/c"], ['paths[0]: "/a" -> -']],
  [["/b"], ["/a", "/b"], ['paths[0]: - -> "/a"']],
  [["/a", "/b"], ["/a", "/c"], ['paths[1]: "/b" -> "/c"']],
  [["/a", "/a"], ["/a"], ['paths[1]: "/a" -> -']],
  [["/a", "/b"], ["/b", "/a"], ['paths: ["/a","/b"] -> ["/b","/a"]']],
])("of the list %j, %j differs in %j", (before, after, expected) => {
  expect(
    lines(
      resource("route", { paths: before }),
      resource("route", { paths: after }),
    ),
  ).toEqual(expected);
});

test.each(["s3cret", "another"])(
  "between plugins of two names the configuration is one secret, equal or not: %s",
  (team) => {
    const plugin = (name: string, config: JsonObject) =>
      resource("plugin", { name, config });
    const was = plugin("http-log", { headers: { "x-team": "s3cret" } });
    const is = plugin("mine", { headers: { "x-team": team } });
    const paths = ['name: "http-log" -> "mine"', "config: secret"];
    expect(lines(was, is)).toEqual(paths);
    expect(lines(plugin("mine", {}), plugin("http-log", {}))).toEqual([
      'name: "mine" -> "http-log"',
      "config: secret",
    ]);
    expect(fieldChanges(was, is).map(({ path }) => path)).toEqual(
      team === "s3cret" ? ["name"] : ["name", 'config.headers["x-team"]'],
    );
  },
);

test("of a secret it is only told that it changed, also below it and in a text", () => {
  const plugin = (name: string, config: Record<string, string>) =>
    resource("plugin", { name, config });
  expect(
    lines(
      plugin("mine", { client_secret: "one", url: "http://a:b@c", keep: "x" }),
      plugin("mine", { client_secret: "two", url: "http://a:d@c", keep: "y" }),
    ),
  ).toEqual([
    "config.client_secret: secret",
    "config.url: secret",
    'config.keep: "x" -> "y"',
  ]);
  const told = JSON.stringify(
    fieldChanges(
      resource("keyauthCredential", { key: "old-key", tags: ["a"] }),
      resource("keyauthCredential", { key: "new-key", tags: [] }),
      redact,
    ),
  );
  expect(told).not.toMatch(/old-key|new-key/);
});
