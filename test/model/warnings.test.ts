import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { fillDefaults } from "../../src/model/defaults.ts";
import { warningsOf } from "../../src/model/warnings.ts";
import { resourceOf } from "../support/arbitrary-resource.ts";
import { CA_CERT, EC_CERT, EC_KEY } from "../support/certificates.ts";

function warnings(json: JsonObject, nowMs?: number): string[] {
  return warningsOf(
    fillDefaults(resourceOf(json)),
    nowMs === undefined ? {} : { nowMs },
  ).map(({ field, message }) => `${field}: ${message}`);
}

describe("it is warned about", () => {
  test.each<[string, JsonObject, string]>([
    [
      "a stream route",
      { route: { protocols: ["tcp"], sources: [{ port: 1 }] } },
      "protocols: is stored, but",
    ],
    [
      "an expression",
      { route: { expression: "x" } },
      "expression: is stored, but",
    ],
    [
      "a service that is not spoken to by HTTP",
      { service: { host: "a", protocol: "tcp" } },
      "protocol: is stored, but",
    ],
    [
      "a regular expression without a tilde",
      { route: { paths: ["/a", "/v\\d+"] } },
      'paths[1]: "/v\\\\d+" is a literal prefix; to have it matched as a regular expression write "~/v\\\\d+"',
    ],
    [
      "a plugin that nobody knows",
      { plugin: { name: "mine" } },
      'name: "mine" is not a plugin that this version knows',
    ],
    ["a vault", { vault: { prefix: "my-env", name: "env" } }, ": is stored"],
    [
      "an application of OAuth 2.0",
      { oauth2_credential: { name: "n", client_id: "c", client_secret: "s" } },
      'do not have the plugin "oauth2"',
    ],
    [
      "what requests are signed with",
      { hmacauth_credential: { username: "u", secret: "s" } },
      'do not have the plugin "hmac-auth"',
    ],
    [
      "a reference to a vault in a plugin",
      {
        plugin: {
          name: "http-log",
          config: {
            http_endpoint: "http://a.example",
            headers: { "x-key": "{vault://my-env/key}" },
          },
        },
      },
      "config.headers.x-key: is a reference to a vault",
    ],
    [
      "a reference to a vault for a secret",
      { jwt_secret: { key: "k", secret: "{vault://my-env/key}" } },
      "secret: is a reference to a vault",
    ],
    [
      "an origin with a wildcard that is none",
      {
        plugin: { name: "cors", config: { origins: ["https://*.a.example"] } },
      },
      "config.origins[0]: ",
    ],
  ])("%s", (_, json, text) => {
    expect(warnings(json)).toEqual([expect.stringContaining(text)]);
  });

  test("a certificate out of its time, once the time is known", () => {
    const ca = { ca_certificate: { cert: CA_CERT } };
    const pair = { certificate: { cert: EC_CERT, key: EC_KEY } };
    expect(warnings(ca)).toEqual([]);
    for (const json of [ca, pair]) {
      expect(warnings(json, Date.UTC(2060, 0))).toEqual([]);
      expect(warnings(json, Date.UTC(2500, 0))).toEqual([
        expect.stringContaining("cert: has expired on "),
      ]);
      expect(warnings(json, Date.UTC(2000, 0))).toEqual([
        expect.stringContaining("cert: is valid only from "),
      ]);
    }
  });
});

test("nothing is said about what is as it should be", () => {
  for (const json of [
    { service: { host: "a", protocol: "ws" } },
    { route: { paths: ["/a.b-c_d~e/%20", "~/v\\d+"] } },
    { plugin: { name: "cors", config: { origins: ["^https://.*$"] } } },
    { consumer: { username: "a" } },
  ])
    expect(warnings(json)).toEqual([]);
});
