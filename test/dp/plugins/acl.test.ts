import { describe, expect, test } from "vitest";
import { acl } from "../../../src/dp/plugins/acl/acl.ts";
import { ExchangeContext } from "../../../src/dp/plugins/context.ts";
import type {
  Exchange,
  PluginEnvironment,
} from "../../../src/dp/plugins/plugin.ts";
import { HeaderBag } from "../../../src/dp/gateway/proxy/header-bag.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";

const people: readonly Resource[] = [
  ...["ann", "bob", "guest"].map((username, i) =>
    resource("consumer", { id: id(20 + i), username }),
  ),
  ...["ann", "bob"].map((username, i) =>
    resource("keyauthCredential", {
      id: id(30 + i),
      consumer: { id: id(20 + i) },
      key: username,
    }),
  ),
  ...["staff", "admins"].map((group, i) =>
    resource("acl", { id: id(40 + i), consumer: { id: id(20) }, group }),
  ),
];

interface Seen {
  readonly headers: Readonly<Record<string, string>>;
}

const FORBIDDEN = "You cannot consume this service";

describe("acl", () => {
  test.each<
    [
      what: string,
      plugins: Readonly<Record<string, object>>,
      key: string | undefined,
      status: number,
      message: string | undefined,
    ]
  >([
    [
      "lets members of an allowed group pass",
      { "key-auth": {}, acl: { allow: ["x", "staff"] } },
      "ann",
      200,
      undefined,
    ],
    [
      "refuses members of other groups",
      { "key-auth": {}, acl: { allow: ["x"] } },
      "ann",
      403,
      FORBIDDEN,
    ],
    [
      "refuses those without a group where one is needed",
      { "key-auth": {}, acl: { allow: ["staff"] } },
      "bob",
      403,
      FORBIDDEN,
    ],
    [
      "refuses members of a denied group",
      { "key-auth": {}, acl: { deny: ["admins"] } },
      "ann",
      403,
      FORBIDDEN,
    ],
    [
      "lets those pass that are in no denied group",
      { "key-auth": {}, acl: { deny: ["admins"] } },
      "bob",
      200,
      undefined,
    ],
    [
      "asks an anonymous consumer without groups to show who it is",
      { "key-auth": { anonymous: "guest" }, acl: { allow: ["staff"] } },
      undefined,
      401,
      "Unauthorized",
    ],
    [
      "asks whom no plugin has looked at to show who they are",
      { acl: { deny: ["staff"] } },
      undefined,
      401,
      "Unauthorized",
    ],
    [
      "refuses no member because of include_consumer_groups",
      {
        "key-auth": {},
        acl: { allow: ["staff"], include_consumer_groups: true },
      },
      "ann",
      200,
      undefined,
    ],
  ])("%s", async (_, plugins, key, status, message) => {
    await using plane = await PluginGateway.start(plugins, {
      resources: people,
    });
    const headers: Record<string, string> = {};
    if (key !== undefined) headers["apikey"] = key;
    const answer = await plane.ask("/api", { headers });
    expect(answer.status).toBe(status);
    if (message !== undefined) expect(answer.json()["message"]).toBe(message);
  });

  test("tells the upstream the groups, unless that is switched off, and never what the client says", async () => {
    const forged = {
      apikey: "ann",
      "x-consumer-groups": "root",
      "x-authenticated-groups": "root",
    };
    await using plane = await PluginGateway.start(
      { "key-auth": {}, acl: { allow: ["staff"] } },
      { resources: people },
    );
    const seen = async () =>
      (await plane.ask("/api", { headers: forged })).json<Seen>().headers;
    expect(await seen()).toMatchObject({
      "x-consumer-groups": "admins, staff",
    });
    expect(await seen()).not.toHaveProperty("x-authenticated-groups");
    await plane.configure({
      "key-auth": {},
      acl: { allow: ["staff"], hide_groups_header: true },
    });
    expect(await seen()).not.toHaveProperty("x-consumer-groups");
  });

  test("a consumer's groups are those of the revision that serves", async () => {
    const plugins = { "key-auth": {}, acl: { allow: ["staff"] } };
    await using plane = await PluginGateway.start(plugins, {
      resources: people,
    });
    const status = async () =>
      (await plane.ask("/api", { headers: { apikey: "bob" } })).status;
    expect(await status()).toBe(403);
    const joined = resource("acl", {
      id: id(50),
      consumer: { id: id(21) },
      group: "staff",
    });
    const service = plane.resources;
    await plane.configure(plugins, [...service, joined]);
    expect(await status()).toBe(200);
    await plane.configure(plugins, service);
    expect(await status()).toBe(403);
  });
});

test("acl counts consumer groups too where it is told to, and tells the upstream", async () => {
  const gold = [
    resource("consumerGroup", { id: id(60), name: "gold" }),
    ...[20, 21].map((consumer) =>
      resource("consumerGroupConsumer", {
        id: id(41 + consumer),
        consumer: { id: id(consumer) },
        consumerGroup: { id: id(60) },
      }),
    ),
  ];
  const config = { allow: ["gold"] };
  await using plane = await PluginGateway.start(
    { "key-auth": {}, acl: config },
    { resources: [...people, ...gold] },
  );
  const ask = (key: string) => plane.ask("/api", { headers: { apikey: key } });
  expect((await ask("ann")).status).toBe(403);
  await plane.configure({
    "key-auth": {},
    acl: { ...config, include_consumer_groups: true },
  });
  const groups = async (key: string) =>
    (await ask(key)).json<Seen>().headers["x-consumer-groups"];
  expect(await groups("ann")).toBe("admins, gold, staff");
  expect(await groups("bob")).toBe("gold");
  await plane.configure({
    "key-auth": {},
    acl: { deny: ["gold"], include_consumer_groups: true },
  });
  expect((await ask("bob")).status).toBe(403);
});

describe("groups that another plugin found out", () => {
  /** Runs acl by itself: no plugin of ours finds out groups. */
  function run(
    config: object,
    who: { readonly own?: readonly string[]; readonly credential?: string },
    authenticated: readonly string[],
  ) {
    const context = new ExchangeContext();
    context.shared.set("authenticated_groups", authenticated);
    const headers = new HeaderBag();
    const exchange = {
      context,
      upstream: {
        headers,
        method: "GET",
        path: "/api",
        rawQuery: undefined,
        replaceBody: () => undefined,
      },
      consumer: who.own && { id: "c", username: "c", customId: "" },
      credentialId: who.credential,
      consumers: {
        byId: () => undefined,
        byUsername: () => undefined,
        byKey: () => undefined,
        byLogin: () => undefined,
        byTokenKey: () => undefined,
        groupsOf: () => who.own ?? [],
        consumerGroupsOf: () => [],
      },
    } as Partial<Exchange> as Exchange;
    const handlers = acl.create(
      config as Record<string, never>,
      {} as PluginEnvironment,
      "plugin/1",
      {},
    );
    const answer = handlers.access?.(exchange);
    return {
      answer,
      consumer: headers.get("X-Consumer-Groups"),
      authenticated: headers.get("X-Authenticated-Groups"),
    };
  }

  test("count for a request without a consumer", () => {
    expect(run({ allow: ["a"] }, {}, ["a", "b"])).toEqual({
      answer: undefined,
      consumer: [],
      authenticated: ["a, b"],
    });
    expect(run({ allow: ["a"] }, {}, ["b"]).answer).toMatchObject({
      status: 403,
    });
  });

  test("count for an anonymous consumer instead of its own", () => {
    expect(
      run({ allow: ["own"] }, { own: ["own"] }, ["a"]).answer,
    ).toMatchObject({ status: 403 });
  });

  test("count for a consumer only when they always do", () => {
    const who = { own: ["own"], credential: "k" };
    expect(run({ allow: ["own"] }, who, ["a"]).consumer).toEqual(["own"]);
    const config = { allow: ["a"], always_use_authenticated_groups: true };
    expect(run(config, who, ["a"])).toEqual({
      answer: undefined,
      consumer: [],
      authenticated: ["a"],
    });
  });
});
