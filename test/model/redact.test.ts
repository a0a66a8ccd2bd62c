import { expect, test } from "vitest";
import { redact, redactedFields } from "../../src/model/redact.ts";
import { resourceToJson } from "../../src/model/resource-json.ts";
import { resourceOf } from "../support/arbitrary-resource.ts";

test.each([
  [
    { keyauth_credential: { key: "s3cr3t", tags: ["t"] } },
    { keyauth_credential: { key: "***", tags: ["t"] } },
  ],
  [
    { basicauth_credential: { username: "u", password: "s3cr3t" } },
    { basicauth_credential: { username: "u", password: "***" } },
  ],
  [
    { jwt_secret: { key: "k", secret: "s3cr3t" } },
    { jwt_secret: { key: "k", secret: "***" } },
  ],
  [{ jwt_secret: { key: "k" } }, { jwt_secret: { key: "k" } }],
  [
    { certificate: { cert: "c", key: "s3cr3t", key_alt: "s3cr3t" } },
    { certificate: { cert: "c", key: "***", key_alt: "***" } },
  ],
  [
    {
      plugin: {
        name: "mine",
        config: {
          client_secret: "s3cr3t",
          redis: { password: "s3cr3t", host: "h", passwords: 1 },
          tokens: ["s3cr3t"],
          secrets: ["s3cr3t"],
          clientSecret: "s3cr3t",
          credentials: { user: "s3cr3t", more: [{ of: ["s3cr3t", 1] }] },
          headers: { Authorization: "s3cr3t", "X-Api-Key": "s3cr3t", a: "b" },
          cookie: "s3cr3t",
          token_url: "http://h",
          keys: ["k"],
          cache_key: "k",
          hide_credentials: true,
        },
      },
    },
    {
      plugin: {
        name: "mine",
        config: {
          client_secret: "***",
          redis: { password: "***", host: "h", passwords: 1 },
          tokens: ["***"],
          secrets: ["***"],
          clientSecret: "***",
          credentials: { user: "***", more: [{ of: ["***", 1] }] },
          headers: { Authorization: "***", "X-Api-Key": "***", a: "b" },
          cookie: "***",
          token_url: "http://h",
          keys: ["k"],
          cache_key: "k",
          hide_credentials: true,
        },
      },
    },
  ],
  [
    { plugin: { name: "key-auth", config: { key_names: ["apikey"] } } },
    { plugin: { name: "key-auth", config: { key_names: ["apikey"] } } },
  ],
  [{ service: { host: "a" } }, { service: { host: "a" } }],
])("what people are shown of %j has no secret in it", (json, shown) => {
  const resource = resourceOf(json);
  expect(resourceToJson(redact(resource))).toEqual(shown);
  expect(resourceToJson(resource)).toEqual(json);
});

test("a secret is one in the other spelling of its field too", () => {
  const config = { redisPassword: "s3cr3t", redisHost: "h" };
  const resource = resourceOf({ plugin: { name: "rate-limiting", config } });
  expect(JSON.stringify(redact(resource).kind.value)).not.toContain("s3cr3t");
  expect(redactedFields(redact(resource))).toEqual(["config.redisPassword"]);
});

test("what stands for a part of a text is found when it is put again", () => {
  const config = {
    http_endpoint: "https://u:s3cr3t@h/",
    add: { headers: ["a:b", "authorization: s3cr3t"] },
  };
  for (const name of ["http-log", "request-transformer", "mine"]) {
    const resource = resourceOf({ plugin: { name, config } });
    expect(redactedFields(resource)).toEqual([]);
    expect(redactedFields(redact(resource))).toEqual([
      "config.http_endpoint",
      "config.add.headers[1]",
    ]);
  }
});

test.each([
  ["https://h/in?token=s3cr3t", "https://h/in?token=***"],
  [
    "https://h/?a=s3cr3t&b=s3=cr3t;c=&d#t=s3cr3t",
    "https://h/?a=***&b=***;c=&***#t=***",
  ],
  ["HTTPS://h?s3cr3t#s3cr3t", "HTTPS://h?***#***"],
  ["https://u:s3cr3t@h/a b?k=s3 cr3t", "https://***@h/a b?k=***"],
  ["https://h/?back=https://i/?token=s3cr3t", "https://h/?back=***"],
  ["https://h/path/?", "https://h/path/?"],
  ["see https://h/?topic=limits", "see https://h/?topic=limits"],
  ["{vault://hcv/log/url?prefix=a#2}", "{vault://hcv/log/url?prefix=a#2}"],
])("of the URL %s in a plugin's config, %s is shown", (url, shown) => {
  for (const name of ["http-log", "somebodys-own"]) {
    const resource = resourceOf({
      plugin: { name, config: { http_endpoint: url } },
    });
    expect(resourceToJson(redact(resource))).toMatchObject({
      plugin: { config: { http_endpoint: shown } },
    });
  }
});

test("a URL in a header is one too, and so is a vault's", () => {
  const plugin = resourceOf({
    plugin: {
      name: "request-transformer",
      config: { add: { headers: ["x-from: https://h/?token=s3cr3t"] } },
    },
  });
  expect(JSON.stringify(resourceToJson(redact(plugin)))).toContain(
    "x-from: https://h/?token=***",
  );
  const vault = resourceOf({
    vault: {
      name: "hcv",
      prefix: "v",
      config: { address: "https://h/?sig=s3cr3t" },
    },
  });
  expect(JSON.stringify(resourceToJson(redact(vault)))).toContain(
    "https://h/?sig=***",
  );
});

test.each(["https://u:s3cr3t@h/?to=a@b", "https://s3cr3t:a@b c@h/?to=a@b"])(
  "people are shown %s without its user",
  (url) => {
    const resource = resourceOf({
      plugin: { name: "http-log", config: { http_endpoint: url } },
    });
    expect(resourceToJson(redact(resource))).toEqual({
      plugin: {
        name: "http-log",
        config: { http_endpoint: "https://***@h/?to=***" },
      },
    });
  },
);

test.each(["request-transformer", "response-transformer", "mine"])(
  "people are shown the headers that %s sets without what is secret",
  (name) => {
    const rename = { headers: ["authorization:x-authorization"] };
    const resource = resourceOf({
      plugin: {
        name,
        config: {
          add: { headers: ["Authorization: Bearer s3cr3t", "a:b"] },
          rename,
          append: { headers: ["from:http://u:s3cr3t@h", "x-secret:"] },
        },
      },
    });
    expect(resourceToJson(redact(resource))).toEqual({
      plugin: {
        name,
        config: {
          add: { headers: ["Authorization: ***", "a:b"] },
          rename,
          append: { headers: ["from:http://***@h", "x-secret:"] },
        },
      },
    });
  },
);
