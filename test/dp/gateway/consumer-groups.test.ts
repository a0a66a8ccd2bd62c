import { expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

const GOLD = id(40);
const FREE = id(41);
const ann = { id: id(20) };
const bob = { id: id(22) };

/** Ann is in both groups, bob in the free one, eve in none. */
const people: readonly Resource[] = [
  ...["ann", "bob", "eve"].flatMap((username, i) => [
    resource("consumer", { id: id(20 + 2 * i), username }),
    resource("keyauthCredential", {
      id: id(21 + 2 * i),
      consumer: { id: id(20 + 2 * i) },
      key: username,
    }),
  ]),
  resource("consumerGroup", { id: GOLD, name: "gold" }),
  resource("consumerGroup", { id: FREE, name: "free" }),
  member(50, ann, GOLD),
  member(51, ann, FREE),
  member(52, bob, FREE),
];

function member(
  number: number,
  consumer: { readonly id: string },
  group: string,
): Resource {
  return resource("consumerGroupConsumer", {
    id: id(number),
    consumer,
    consumerGroup: { id: group },
  });
}

function stop(number: number, message: string, scope: object): Resource {
  return resource("plugin", {
    id: id(number),
    name: "request-termination",
    config: { message },
    ...scope,
  });
}

async function served(
  upstream: Upstream,
  ...more: readonly Resource[]
): Promise<TestGateway> {
  return TestGateway.start([
    ...api(upstream.port),
    ...people,
    routePlugin(3, "key-auth"),
    ...more,
  ]);
}

const as = (key: string) => ({ headers: { apikey: key } });

async function heard(gateway: TestGateway): Promise<unknown[]> {
  const heard: unknown[] = [];
  for (const who of ["ann", "bob", "eve"]) {
    const answer = await gateway.ask("/api", as(who));
    heard.push(answer.status === 200 ? 200 : answer.json()["message"]);
  }
  return heard;
}

test("a group's plugins are for its consumers; of two groups the first by name decides", async () => {
  await using upstream = await Upstream.start();
  const gold = stop(4, "gold", { consumerGroup: { id: GOLD } });
  const free = stop(5, "free", { consumerGroup: { id: FREE } });
  const rest = [...api(upstream.port), ...people, routePlugin(3, "key-auth")];
  await using gateway = await served(upstream, gold, free);
  expect(await heard(gateway)).toEqual(["free", "free", 200]);
  await gateway.serve([
    ...rest,
    free,
    stop(4, "gold here", {
      consumerGroup: { id: GOLD },
      route: { id: id(2) },
    }),
    stop(6, "everybody", {}),
  ]);
  expect(await heard(gateway)).toEqual(["gold here", "free", "everybody"]);
  await gateway.serve([
    ...rest,
    free,
    stop(7, "ann alone", { consumer: ann }),
    stop(6, "here", { route: { id: id(2) } }),
  ]);
  expect(await heard(gateway)).toEqual(["ann alone", "free", "here"]);
});

test("who joins a group, leaves it, or is in one that is renamed, has its plugins from then on", async () => {
  await using upstream = await Upstream.start();
  const plugins = [
    routePlugin(3, "key-auth"),
    stop(4, "gold", { consumerGroup: { id: GOLD } }),
    stop(5, "free", { consumerGroup: { id: FREE } }),
  ];
  const all = [...api(upstream.port), ...people, ...plugins];
  const without = (number: number): Resource[] =>
    all.filter(({ kind }) => kind.value?.id !== id(number));
  await using gateway = await TestGateway.start(without(51));
  expect(await heard(gateway)).toEqual(["gold", "free", 200]);
  await gateway.serve([...without(52), member(53, { id: id(24) }, GOLD)]);
  expect(await heard(gateway)).toEqual(["free", 200, "gold"]);
  await gateway.serve([
    ...without(41),
    resource("consumerGroup", { id: FREE, name: "simple" }),
  ]);
  expect(await heard(gateway)).toEqual(["gold", "free", 200]);
});

test("each group has its limits, and each of its consumers a count, or all of them one", async () => {
  await using upstream = await Upstream.start();
  const limit = (number: number, group: string, config: object): Resource =>
    resource("plugin", {
      id: id(number),
      name: "rate-limiting",
      config: { hour: 1, ...config },
      consumerGroup: { id: group },
    });
  const dan = [
    resource("consumer", { id: id(26), username: "dan" }),
    resource("keyauthCredential", {
      id: id(27),
      consumer: { id: id(26) },
      key: "dan",
    }),
    member(54, { id: id(26) }, FREE),
  ];
  const statuses = async (gateway: TestGateway, ...who: string[]) => {
    const all: number[] = [];
    for (const one of who)
      all.push((await gateway.ask("/api", as(one))).status);
    return all;
  };
  await using gateway = await served(upstream, ...dan, limit(4, FREE, {}));
  expect(
    await statuses(gateway, "bob", "dan", "bob", "dan", "eve", "eve"),
  ).toEqual([200, 200, 429, 429, 200, 200]);
  await using together = await served(
    upstream,
    ...dan,
    limit(5, FREE, { limit_by: "consumer-group" }),
  );
  expect(await statuses(together, "bob", "dan", "ann", "eve")).toEqual([
    200, 429, 429, 200,
  ]);
  // For everybody: by the consumer's first group, and by the address of who is in none.
  await using everywhere = await served(
    upstream,
    ...dan,
    routePlugin(6, "rate-limiting", { hour: 1, limit_by: "consumer-group" }),
  );
  expect(await statuses(everywhere, "bob", "dan", "ann", "eve", "eve")).toEqual(
    [200, 429, 429, 200, 429],
  );
});

test("what a data plane can do nothing with does not keep it from serving the rest", async () => {
  await using upstream = await Upstream.start();
  await using gateway = await served(
    upstream,
    resource("vault", { id: id(60), prefix: "my-env", name: "env" }),
    resource("oauth2Credential", {
      id: id(61),
      consumer: ann,
      name: "app",
      clientId: "c",
      clientSecret: "s",
    }),
    resource("hmacauthCredential", {
      id: id(62),
      consumer: ann,
      username: "ann",
      secret: "s",
    }),
  );
  expect(await heard(gateway)).toEqual([200, 200, 200]);
});
