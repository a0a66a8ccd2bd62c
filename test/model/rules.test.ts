import type { JsonObject } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { ResourceSchema } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults } from "../../src/model/defaults.ts";
import { lines, problemsOf } from "../support/problems.ts";
import { encodeResource } from "../../src/model/encode.ts";
import {
  checkResource,
  MAX_VALUE_BYTES,
  warmUpRules,
} from "../../src/model/rules.ts";
import { describeViolation } from "../../src/model/violation.ts";
import {
  arbitraryResource,
  resourceOf,
} from "../support/arbitrary-resource.ts";
import {
  CA_CERT,
  EC_CERT,
  EC_KEY,
  EC_PUBLIC_KEY,
  RSA_CERT,
  RSA_KEY,
  RSA_PUBLIC_KEY,
} from "../support/certificates.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const ID = "0855b320-0dd2-547d-891d-601e9b38647f";
const CONSUMER = { consumer: { id: ID } };

beforeAll(() => {
  warmUpRules();
});

describe("a resource of each kind passes", () => {
  test.each<JsonObject>([
    { service: { host: "a.example" } },
    { service: { name: "pé.a-y_~1", url: "https://[::1]:8443/base%20x/" } },
    { service: { host: "10.0.0.1", protocol: "grpc", tags: ["a b", "é"] } },
    {
      service: {
        host: "a",
        protocol: "https",
        tls_verify: true,
        tls_verify_depth: 3,
        ca_certificates: [ID],
        client_certificate: { id: ID },
      },
    },
    { route: { paths: ["/"], service: { name: "pay" } } },
    {
      route: {
        methods: ["GET"],
        hosts: ["a.example", "*.b.example:80"],
        paths: ["/v1", "~/v\\d+/(?<id>[^/]+)$", "/a%20b", "/(odd)"],
        headers: { "x-a": { values: ["1", "~*x("] }, b: { values: ["~*^v"] } },
        snis: ["a.example"],
      },
    },
    { route: { protocols: ["grpc", "grpcs"], paths: ["/pkg.Svc/"] } },
    {
      route: {
        protocols: ["tcp", "tls", "udp"],
        sources: [{ ip: "10.0.0.0/8" }, { port: 80 }],
        destinations: [{ ip: "::1", port: 1 }],
        snis: ["a.example"],
      },
    },
    { route: { protocols: ["tls_passthrough"], snis: ["*.example"] } },
    { route: { expression: 'http.path == "/"', priority: "70368744177663" } },
    { upstream: { name: "bank.internal" } },
    { upstream: { name: "b", hash_on: "consumer", hash_fallback: "ip" } },
    { upstream: { name: "b", hash_on: "cookie", hash_on_cookie: "c" } },
    {
      upstream: {
        name: "b",
        hash_on: "header",
        hash_on_header: "x-a",
        hash_fallback: "header",
        hash_fallback_header: "x-b",
        host_header: "a.example:80",
      },
    },
    { target: { target: "10.0.0.1", upstream: { name: "bank" }, weight: 0 } },
    { consumer: { username: "ann" } },
    { consumer: { custom_id: "1" } },
    { plugin: { name: "cors", config: { origins: ["*", "^https://.*$"] } } },
    { plugin: { name: "mine", config: { any: ["thing", null, 1.5] } } },
    { keyauth_credential: { key: "k", ttl: 60, ...CONSUMER } },
    { basicauth_credential: { username: "u", password: "p", ...CONSUMER } },
    { jwt_secret: { key: "k", secret: "s", ...CONSUMER } },
    {
      jwt_secret: {
        key: "k",
        algorithm: "RS256",
        rsa_public_key: RSA_PUBLIC_KEY,
        ...CONSUMER,
      },
    },
    {
      jwt_secret: {
        key: "k",
        algorithm: "ES256",
        rsa_public_key: EC_PUBLIC_KEY,
        ...CONSUMER,
      },
    },
    { acl: { group: "admins", ...CONSUMER } },
    { certificate: { cert: RSA_CERT, key: RSA_KEY } },
    { certificate: { cert: EC_CERT + CA_CERT, key: EC_KEY } },
    {
      certificate: {
        cert: RSA_CERT,
        key: RSA_KEY,
        cert_alt: EC_CERT,
        key_alt: EC_KEY,
        snis: ["a.example"],
      },
    },
    { sni: { name: "*.a.example", certificate: { id: ID } } },
    { ca_certificate: { cert: CA_CERT } },
  ])("%j", (json) => {
    expect(problemsOf(json)).toEqual([]);
  });
});

describe("a field's own rule is broken: it is said what was given and what is allowed", () => {
  test.each<[string, JsonObject, string[]]>([
    ["required", { service: {} }, ["host: is required"]],
    [
      "a range",
      { service: { host: "a", port: 70000, retries: -1 } },
      [
        "port: must be from 0 to 65535, got 70000",
        "retries: must be from 0 to 32767, got -1",
      ],
    ],
    [
      "a list of values",
      { route: { paths: ["/"], https_redirect_status_code: 200 } },
      [
        "https_redirect_status_code: must be one of 426, 301, 302, 307, 308, got 200",
      ],
    ],
    [
      "a pattern",
      { service: { host: "a", name: "a b" } },
      [
        'name: may have letters, digits, ".", "-", "_", "~" and characters beyond ASCII only, got "a b"',
      ],
    ],
    [
      "tags",
      { service: { host: "a", tags: ["a,b", "c", "c", ""] } },
      [
        'tags: has "c" twice',
        'tags[0]: must not be empty and must not contain a comma or a slash, got "a,b"',
        'tags[3]: must not be empty and must not contain a comma or a slash, got ""',
      ],
    ],
    [
      "an id",
      { route: { paths: ["/"], id: "x", service: { id: "y" } } },
      [
        'id: must be a valid UUID, got "x"',
        'service.id: must be a valid UUID, got "y"',
      ],
    ],
    [
      "a reference to nothing",
      { route: { paths: ["/"], service: {} } },
      ["service: needs an id or a name"],
    ],
    [
      "a nested field",
      {
        upstream: {
          name: "u",
          healthchecks: {
            threshold: 101,
            active: { timeout: -1, http_path: "x" },
          },
        },
      },
      [
        "healthchecks.active.timeout: must be from 0 to 65535, got -1",
        'healthchecks.active.http_path: must start with "/", got "x"',
        "healthchecks.threshold: must be from 0 to 100, got 101",
      ],
    ],
    [
      "a method",
      { route: { methods: ["get"] } },
      ['methods[0]: must be upper-case letters only, got "get"'],
    ],
    [
      "a consumer without a name",
      { consumer: {} },
      [": at least one of username and custom_id is needed"],
    ],
    [
      "fields of another protocol",
      { service: { host: "a", path: "/x", protocol: "tcp", tls_verify: true } },
      [
        "path: only with protocol http, https, ws or wss",
        "tls_verify: only with protocol https, wss or tls",
      ],
    ],
  ])("%s", (_, json, problems) => {
    expect(problemsOf(json)).toEqual(problems);
  });

  test("a secret is never shown", () => {
    const key = "s3cr3t".repeat(1000);
    expect(problemsOf({ keyauth_credential: { key, ...CONSUMER } })).toEqual([
      "key: must be at most 4096 characters",
    ]);
  });
});

test("of a reference to a vault where it cannot be it is said that nobody follows it", () => {
  const ref = "{vault://env/x}";
  const hint = 'put in the value itself, in a file as ${{ env "DECK_NAME" }}';
  const config = (name: string, config: JsonObject) => ({
    plugin: { name, config },
  });
  for (const [field, json] of [
    ["cert", { certificate: { id: ID, cert: ref, key: RSA_KEY } }],
    ["key", { certificate: { id: ID, cert: RSA_CERT, key: ref } }],
    ["cert", { ca_certificate: { id: ID, cert: ref } }],
    ["host", { service: { id: ID, host: ref } }],
    ["config.http_endpoint", config("http-log", { http_endpoint: ref })],
    ["config.minute", config("rate-limiting", { minute: ref })],
    [
      "config.redis.port",
      config("rate-limiting", { minute: 1, redis: { port: ref } }),
    ],
  ] satisfies [string, JsonObject][])
    expect(problemsOf(json)).toContainEqual(
      expect.stringMatching(
        new RegExp(`^${field}: .*${hint.replaceAll(/[${}]/g, "\\$&")}$`),
      ),
    );
});

describe("what an entry cannot hold is refused, not lost", () => {
  test("a key __proto__, and numbers that are none", () => {
    const config = JSON.parse(
      '{"a": [{"__proto__": 1}], "b": 1}',
    ) as JsonObject;
    const resource = resourceOf({ plugin: { name: "mine" } });
    if (resource.kind.case !== "plugin") throw new TypeError("no plugin");
    resource.kind.value.config = { ...config, n: NaN, i: -Infinity };
    expect(
      checkResource(fillDefaults(resource)).map(({ field }) => field),
    ).toEqual(["config.a[0].__proto__", "config.n", "config.i"]);
  });

  test("half of a surrogate pair", () => {
    const resource = resourceOf({ consumer: { username: "ann" } });
    if (resource.kind.case !== "consumer") throw new TypeError("no consumer");
    resource.kind.value.username = "a\ud800";
    expect(checkResource(resource)).toEqual([
      {
        kind: "consumer",
        name: "a\ud800",
        field: "username",
        reason: "has half of a surrogate pair, which UTF-8 cannot hold",
      },
    ]);
  });

  test("fields of a newer version of the .proto files", () => {
    const bytes = Buffer.concat([
      // Resource.consumer with the username "a" and field 1000, a varint.
      Buffer.from([0x2a, 0x06, 0x12, 0x01, 0x61, 0xc0, 0x3e, 0x01]),
    ]);
    expect(
      checkResource(fromBinary(ResourceSchema, bytes)).map(describeViolation),
    ).toEqual(lines("unknown protobuf field with the number 1000"));
  });

  test("a Struct that is nested too deep", () => {
    let config: JsonObject = {};
    for (let i = 0; i < 40; i++) config = { a: config };
    expect(problemsOf({ plugin: { name: "mine", config } })).toEqual(
      lines("is nested deeper than 30 levels"),
    );
  });

  test("more than 256 KiB", () => {
    const config = { a: "x".repeat(MAX_VALUE_BYTES) };
    expect(problemsOf({ plugin: { name: "mine", config } })).toEqual(
      lines("at most 262144 are allowed"),
    );
  });

  test("a resource of no kind", () => {
    expect(problemsOf({})).toEqual(lines("no kind is set"));
  });
});

describe("checking", () => {
  test("finds all that is wrong at once and says of what", () => {
    const violations = checkResource(
      fillDefaults(
        resourceOf({
          route: { name: "pay", paths: ["x", "~/("], methods: ["get"] },
        }),
      ),
    );
    expect(violations.map(({ field }) => field)).toEqual([
      "methods[0]",
      "paths[0]",
      "paths[1]",
    ]);
    expect(
      new Set(violations.map(({ kind, name }) => `${kind} ${name}`)),
    ).toEqual(new Set(["route pay"]));
  });

  test("never throws, whatever the resource", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: false }), (resource) => {
        for (const violation of checkResource(resource))
          expect(describeViolation(violation)).not.toBe("");
        checkResource(fillDefaults(resource));
      }),
      { numRuns: 300 },
    );
  });

  test("lets nothing pass that cannot be stored", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: false }), (resource) => {
        const filled = fillDefaults(resource);
        if (checkResource(filled).length > 0) return;
        const bytes = encodeResource(filled);
        expect(encodeResource(fromBinary(ResourceSchema, bytes))).toEqual(
          bytes,
        );
      }),
      { numRuns: 300 },
    );
  });
});
