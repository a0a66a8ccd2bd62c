import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { readPluginConfig } from "../../src/model/plugins.ts";

function problems(name: string, config: JsonObject): string[] {
  const read = readPluginConfig(name, config);
  return read.ok
    ? []
    : read.violations.map(({ field, reason }) => `${field}: ${reason}`);
}

function stored(name: string, config: JsonObject): JsonObject {
  const read = readPluginConfig(name, config);
  if (!read.ok) throw new Error(JSON.stringify(read.violations));
  return read.config;
}

const redis = {
  host: "",
  port: 6379,
  timeout: 2000,
  username: "",
  password: "",
  database: 0,
  ssl: false,
  ssl_verify: false,
  server_name: "",
};

describe("defaults are written back", () => {
  test.each<[name: string, given: JsonObject, all: JsonObject]>([
    [
      "basic-auth",
      {},
      { hide_credentials: false, anonymous: "", realm: "service" },
    ],
    [
      "jwt",
      {},
      {
        uri_param_names: ["jwt"],
        cookie_names: [],
        header_names: ["authorization"],
        key_claim_name: "iss",
        secret_is_base64: false,
        claims_to_verify: [],
        anonymous: "",
        run_on_preflight: true,
        maximum_expiration: 0,
        realm: "",
      },
    ],
    [
      "acl",
      { allow: ["a"] },
      {
        allow: ["a"],
        deny: [],
        hide_groups_header: false,
        always_use_authenticated_groups: false,
        include_consumer_groups: false,
      },
    ],
    [
      "rate-limiting",
      { minute: 5 },
      {
        minute: 5,
        limit_by: "consumer",
        header_name: "",
        path: "",
        policy: "local",
        fault_tolerant: true,
        hide_client_headers: false,
        error_code: 429,
        error_message: "API rate limit exceeded",
        redis,
        sync_rate: -1,
        redis_host: "",
        redis_username: "",
        redis_password: "",
        redis_server_name: "",
      },
    ],
    [
      "response-ratelimiting",
      { limits: { videos: { minute: 10 } } },
      {
        limits: { videos: { minute: 10 } },
        header_name: "x-kong-limit",
        limit_by: "consumer",
        policy: "local",
        fault_tolerant: true,
        block_on_first_violation: false,
        hide_client_headers: false,
        redis,
        redis_host: "",
        redis_username: "",
        redis_password: "",
        redis_server_name: "",
      },
    ],
    [
      "ip-restriction",
      { deny: ["10.0.0.1"] },
      { allow: [], deny: ["10.0.0.1"], status: 403, message: "" },
    ],
    ["bot-detection", {}, { allow: [], deny: [] }],
    [
      "request-size-limiting",
      {},
      {
        allowed_payload_size: 128,
        size_unit: "megabytes",
        require_content_length: false,
      },
    ],
  ])("of %s", (name, given, all) => {
    expect(stored(name, given)).toEqual(all);
    expect(stored(name, all)).toEqual(all);
  });
});

test("a list that is given empty stays empty, whatever its default is", () => {
  const config = stored("jwt", { uri_param_names: [] });
  expect(config["uri_param_names"]).toEqual([]);
  expect(stored("jwt", config)["uri_param_names"]).toEqual([]);
});

test("the older names of the Redis settings are moved to the newer ones", () => {
  const config = stored("rate-limiting", {
    minute: 5,
    policy: "redis",
    redis_host: "r.example",
    redis_port: 6380,
    redis_password: "p",
    redis_username: null,
    redis_database: 3,
    redis_ssl: true,
    redis_ssl_verify: true,
    redis_server_name: "s.example",
    redis_timeout: 500,
  });
  expect(config["redis"]).toEqual({
    host: "r.example",
    port: 6380,
    password: "p",
    username: "",
    database: 3,
    ssl: true,
    ssl_verify: true,
    server_name: "s.example",
    timeout: 500,
  });
  expect(
    Object.entries(config).filter(
      ([name, value]) => name.startsWith("redis_") && value !== "",
    ),
  ).toEqual([]);
});

test.each<[name: string, config: JsonObject]>([
  ["proxy-cache", { strategy: "memory", memory: { dictionary_name: "x" } }],
  ["http-log", { http_endpoint: "http://a/", retry_count: 5 }],
  ["prometheus", { ai_metrics: true, wasm_metrics: true }],
])("what has no effect here is taken: %s with %j", (name, config) => {
  expect(stored(name, config)).toMatchObject(config);
});

test("both names of a Redis setting may be given when they say the same", () => {
  const config = stored("rate-limiting", {
    minute: 5,
    redis: { ...redis, host: "r.example" },
    redis_host: "r.example",
    redis_port: 6379,
  });
  expect(config["redis"]).toEqual({ ...redis, host: "r.example" });
});

describe("refused:", () => {
  test.each<[name: string, config: JsonObject, problem: string]>([
    [
      "rate-limiting",
      {},
      "config: at least one of second, minute, hour, day, month, year is needed",
    ],
    [
      "rate-limiting",
      { minute: 10, day: 5 },
      "config.day: must not be lower than the limit of a minute, 10, got 5",
    ],
    [
      "rate-limiting",
      { minute: 5, limit_by: "header" },
      'config.header_name: is required with limit_by "header"',
    ],
    [
      "rate-limiting",
      { minute: 5, limit_by: "path" },
      'config.path: is required with limit_by "path"',
    ],
    [
      "rate-limiting",
      { minute: 5, policy: "redis" },
      'config.redis.host: is required with policy "redis"',
    ],
    [
      "rate-limiting",
      { minute: 5, policy: "cluster" },
      'config.policy: "cluster" counts in a database that data planes do not have; write "local" to count in each data plane by itself, or "redis" to count for all of them together',
    ],
    [
      "rate-limiting",
      { minute: 5, redis: { host: "a" }, redis_host: "b" },
      "config.redis_host: says something else than redis.host, whose older name it is: give one of them",
    ],
    [
      "rate-limiting",
      { minute: 5, sync_rate: 0.01 },
      "config.sync_rate: must be -1 or at least 0.02, got 0.01",
    ],
    [
      "response-ratelimiting",
      { limits: { videos: { hour: 1, second: 2 } } },
      'config.limits["videos"].hour: must not be lower than the limit of a second, 2, got 1',
    ],
    [
      "response-ratelimiting",
      { limits: { videos: {} } },
      'config.limits["videos"]: at least one of second, minute, hour, day, month, year is needed',
    ],
    [
      "jwt",
      { maximum_expiration: 60 },
      'config.claims_to_verify: must have "exp" when there is a maximum_expiration',
    ],
    ["acl", {}, "config: one of allow and deny is needed"],
    [
      "acl",
      { allow: ["a"], deny: ["b"] },
      "config.deny: cannot stand beside allow",
    ],
    ["ip-restriction", {}, "config: at least one of allow and deny is needed"],
    [
      "ip-restriction",
      { allow: ["10.0.0.0/33"] },
      'config.allow[0]: must be an IP address or a network such as "10.0.0.0/8", got "10.0.0.0/33"',
    ],
    [
      "bot-detection",
      { deny: ["a", "(?=b)"] },
      'config.deny[1]: "(?=b)" uses look-around ("(?="), which RE2 syntax does not have',
    ],
  ])("%s with %j", (name, config, problem) => {
    expect(problems(name, config)).toEqual([problem]);
  });

  test.each<[name: string, config: JsonObject, field: string]>([
    ["rate-limiting", { minute: 0 }, "config.minute"],
    ["rate-limiting", { minute: 1, limit_by: "cookie" }, "config.limit_by"],
    ["rate-limiting", { minute: 1, error_code: 99 }, "config.error_code"],
    ["response-ratelimiting", {}, "config.limits"],
    ["jwt", { claims_to_verify: ["aud"] }, "config.claims_to_verify[0]"],
    ["jwt", { maximum_expiration: -1 }, "config.maximum_expiration"],
    ["request-size-limiting", { size_unit: "GB" }, "config.size_unit"],
    ["basic-auth", { relm: "x" }, "config.relm"],
  ])("%s with %j, by %s", (name, config, field) => {
    expect(problems(name, config)).toEqual([
      expect.stringMatching(`^${field.replace(/[.[\]]/g, "\\$&")}: `),
    ]);
  });
});
