import { createHmac, randomBytes } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { hashPassword } from "../../../src/runtime/passwords.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";

let people: Resource[];

beforeAll(async () => {
  people = [
    ...["ann", "bob", "guest"].map((username, i) =>
      resource("consumer", { id: id(20 + i), username }),
    ),
    resource("keyauthCredential", {
      id: id(30),
      consumer: { id: id(20) },
      key: "anns-key",
    }),
    resource("basicauthCredential", {
      id: id(31),
      consumer: { id: id(21) },
      username: "bob",
      password: await hashPassword("bobs-password", randomBytes),
    }),
    resource("jwtSecret", {
      id: id(32),
      consumer: { id: id(21) },
      key: "bobs",
      secret: "bobs-secret",
    }),
  ];
});

const key = { apikey: "anns-key" };
const login = {
  authorization: `Basic ${Buffer.from("bob:bobs-password").toString("base64")}`,
};
const part = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString("base64url");
const content = `${part({ alg: "HS256" })}.${part({ iss: "bobs" })}`;
const token = {
  authorization: `Bearer ${content}.${createHmac("sha256", "bobs-secret").update(content).digest("base64url")}`,
};

/** Who the upstream sees, or the status without one. */
async function seenAs(
  plugins: Readonly<Record<string, object>>,
  headers: Record<string, string>,
): Promise<unknown> {
  await using plane = await PluginGateway.start(plugins, { resources: people });
  const answer = await plane.ask("/api", { headers });
  if (answer.status !== 200) return answer.status;
  const { headers: seen } = answer.json<{ headers: Record<string, string> }>();
  return `${seen["x-consumer-username"]} by ${seen["x-credential-identifier"] ?? "nothing"}`;
}

describe("several authenticating plugins without an anonymous consumer", () => {
  const plugins = { "key-auth": {}, "basic-auth": {} };
  test.each<[what: string, headers: Record<string, string>, seen: unknown]>([
    ["need all credentials", key, 401],
    ["whichever is missing", login, 401],
    [
      "and go by the one that is looked at last",
      { ...key, ...login },
      `bob by ${id(31)}`,
    ],
  ])("%s", async (_, headers, seen) => {
    expect(await seenAs(plugins, headers)).toBe(seen);
  });
});

describe("several authenticating plugins with an anonymous consumer", () => {
  const anonymous = "guest";
  const plugins = {
    jwt: { anonymous },
    "key-auth": { anonymous },
    "basic-auth": { anonymous },
  };
  test.each<[what: string, headers: Record<string, string>, seen: unknown]>([
    ["are satisfied by a key", key, `ann by ${id(30)}`],
    ["are satisfied by a password", login, `bob by ${id(31)}`],
    ["are satisfied by a token", token, `bob by ${id(32)}`],
    [
      "go by the one that is looked at first",
      { ...key, ...token },
      `bob by ${id(32)}`,
    ],
    ["let everybody else be anonymous", {}, "guest by nothing"],
    [
      "forget what was wrong",
      { ...key, authorization: "Bearer x.y.z" },
      `ann by ${id(30)}`,
    ],
  ])("%s", async (_, headers, seen) => {
    expect(await seenAs(plugins, headers)).toBe(seen);
  });
});

test("headers about consumers that a client sends never reach the upstream", async () => {
  await using plane = await PluginGateway.start(
    { "key-auth": { anonymous: "guest" } },
    { resources: people },
  );
  const forged = {
    "x-consumer-id": "x",
    "x-consumer-custom-id": "x",
    "x-credential-identifier": "x",
    "x-consumer-groups": "x",
  };
  const { headers } = (
    await plane.ask("/api", { headers: { ...forged, ...key } })
  ).json<{ headers: Record<string, string> }>();
  expect(headers).toMatchObject({
    "x-consumer-id": id(20),
    "x-credential-identifier": id(30),
  });
  expect(Object.values(headers)).not.toContain("x");
  expect(headers).not.toHaveProperty("x-anonymous-consumer");
});
