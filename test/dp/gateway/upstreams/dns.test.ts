import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { DnsAnswer } from "../../../../src/dp/gateway/upstreams/dns/answer.ts";
import { DnsClient } from "../../../../src/dp/gateway/upstreams/dns/dns-client.ts";
import { DnsResolver } from "../../../../src/dp/gateway/upstreams/dns/dns-resolver.ts";
import {
  parseHosts,
  parseResolvConf,
} from "../../../../src/dp/gateway/upstreams/dns/system-files.ts";
import { systemClock, type Clock } from "../../../../src/runtime/clock.ts";
import { parseHostPort } from "../../../../src/runtime/host-port.ts";
import { silentLogger } from "../../../../src/runtime/logger.ts";
import {
  address,
  DnsServer,
  service,
  zoneOf,
} from "../../../support/dns-server.ts";
import { eventually } from "../../../support/eventually.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { TempDir } from "../../../support/temp-dir.ts";

const NOWHERE = { hosts: "/nowhere/hosts", resolvConf: "/nowhere/resolv.conf" };

function resolverFor(
  servers: readonly DnsServer[],
  options: { clock?: Clock; files?: typeof NOWHERE } = {},
): DnsResolver {
  const { clock = systemClock, files = NOWHERE } = options;
  const client = new DnsClient({
    clock: systemClock,
    servers: servers.map(({ address: text }) => {
      const parsed = parseHostPort(text);
      if (!parsed.ok) throw new Error(parsed.reason);
      return parsed.hostPort;
    }),
    files,
  });
  return new DnsResolver({
    resolve: (name, last) => client.resolve(name, last),
    clock,
    logger: silentLogger,
  });
}

async function addressesOf(
  resolver: DnsResolver,
  name: string,
): Promise<readonly string[]> {
  const answer = await resolver.lookup(name);
  return answer.ok
    ? answer.addresses.map(({ address: ip, service: at }) =>
        at === undefined ? ip : `${ip}:${at.port} w${at.weight} (${at.name})`,
      )
    : [`${answer.missing ? "missing" : "failed"}: ${answer.detail}`];
}

describe("a name stands for", () => {
  const zone = zoneOf(() => [
    address("two.test", "10.0.0.2"),
    address("two.test", "10.0.0.1"),
    address("both.test", "fd00::1"),
    address("both.test", "10.0.0.9"),
    address("six.test", "fd00::6"),
    { type: "CNAME", name: "alias.test", data: "two.test" },
    address("two.test", "10.0.0.2"),
    service("_http._tcp.test", "a.test", { port: 81, weight: 5, priority: 1 }),
    service("_http._tcp.test", "b.test", { port: 82, weight: 0, priority: 1 }),
    service("_http._tcp.test", "c.test", { port: 83, weight: 9, priority: 2 }),
    address("a.test", "10.1.0.1"),
    address("b.test", "fd00::b"),
  ]);

  test.each([
    ["two.test", ["10.0.0.1", "10.0.0.2", "10.0.0.2"]],
    ["TWO.test.", ["10.0.0.1", "10.0.0.2", "10.0.0.2"]],
    // IPv4 where there is any.
    ["both.test", ["10.0.0.9"]],
    ["six.test", ["fd00::6"]],
    // The ports and weights of the first priority; one of weight 0 is used a little.
    ["_http._tcp.test", ["10.1.0.1:81 w5 (a.test)", "fd00::b:82 w1 (b.test)"]],
    ["nothing.test", ["missing: there is no address of nothing.test"]],
    ["localhost", ["127.0.0.1"]],
  ])("%s: %j", async (name, expected) => {
    await using server = await DnsServer.start(({ name: asked, type }) =>
      zone({ name: asked.toLowerCase(), type }),
    );
    expect(await addressesOf(resolverFor([server]), name)).toEqual(expected);
  });
});

test("an alias leads to the addresses that come with it, and holds no longer than it says", async () => {
  await using server = await DnsServer.start(({ type }) =>
    type === "A"
      ? {
          answers: [
            { type: "CNAME", name: "alias.test", data: "real.test", ttl: 5 },
            address("real.test", "10.0.0.1", 60),
          ],
        }
      : {},
  );
  const clock = new ManualClock();
  const resolver = resolverFor([server], { clock });
  expect(await addressesOf(resolver, "alias.test")).toEqual(["10.0.0.1"]);
  expect(server.asked.filter((asked) => asked.startsWith("A "))).toHaveLength(
    1,
  );
  clock.advance(4_900);
  expect(server.asked.filter((asked) => asked.startsWith("A "))).toHaveLength(
    1,
  );
  clock.advance(200);
  await eventually(
    () => server.asked.filter((asked) => asked.startsWith("A ")).length === 2,
    "a second question",
  );
});

test("what does not fit into a datagram comes over TCP", async () => {
  const many = Array.from({ length: 200 }, (_, i) =>
    address("many.test", `10.0.1.${i}`),
  );
  await using server = await DnsServer.start(({ type }) =>
    type === "A" ? { how: "truncate", answers: many } : {},
  );
  const found = await addressesOf(resolverFor([server]), "many.test");
  expect(found).toHaveLength(200);
  expect(server.asked).toContain("A many.test over TCP");
});

test("a server that fails is followed by the next", async () => {
  await using broken = await DnsServer.start(() => ({ how: "SERVFAIL" }));
  await using server = await DnsServer.start(
    zoneOf(() => [address("a.test", "10.0.0.1")]),
  );
  const gone = await DnsServer.start(() => ({}));
  await gone[Symbol.asyncDispose]().catch(() => undefined);
  expect(await addressesOf(resolverFor([broken, server]), "a.test")).toEqual([
    "10.0.0.1",
  ]);
});

test("servers that fail are no proof that a name is missing", async () => {
  await using server = await DnsServer.start(() => ({ how: "SERVFAIL" }));
  expect(await addressesOf(resolverFor([server]), "a.test")).toEqual([
    "failed: the name server answered SERVFAIL for a.test",
  ]);
});

describe("over time", () => {
  test("a name in use is asked for again in the background, and its users hear of what is new", async () => {
    let ip = "10.0.0.1";
    await using server = await DnsServer.start(
      zoneOf(() => [address("a.test", ip, 30)]),
    );
    const clock = new ManualClock();
    const resolver = resolverFor([server], { clock });
    const heard: DnsAnswer[] = [];
    const stop = resolver.watch("a.test", (answer) => heard.push(answer));
    await eventually(() => heard.length === 1, "the first answer");
    // The same answer is no news, and what kind of records it has is known.
    const asked = server.asked.length;
    clock.advance(30_001);
    await eventually(() => server.asked.length === asked + 1, "one question");
    ip = "10.0.0.2";
    await eventually(() => {
      clock.advance(30_001);
      return heard.length === 2;
    }, "the other answer");
    expect(heard[1]).toMatchObject({ addresses: [{ address: "10.0.0.2" }] });
    expect(resolver.lookup("a.test")).toBe(heard[1]);
    stop();
  });

  test("the last good answer is kept when the servers fail or no longer know the name", async () => {
    let how: "SERVFAIL" | "NXDOMAIN" | undefined;
    const good = zoneOf(() => [address("a.test", "10.0.0.1", 10)]);
    await using server = await DnsServer.start((question) =>
      how === undefined ? good(question) : { how },
    );
    const clock = new ManualClock();
    const resolver = resolverFor([server], { clock });
    const first = await resolver.lookup("a.test");
    for (how of ["SERVFAIL", "NXDOMAIN"] as const) {
      const asked = server.asked.length;
      clock.advance(60_000);
      await eventually(() => server.asked.length > asked, "another question");
      expect(await resolver.lookup("a.test")).toBe(first);
    }
  });

  test("failures are asked about at a bounded rate", async () => {
    await using server = await DnsServer.start(() => ({ how: "NXDOMAIN" }));
    const clock = new ManualClock();
    const resolver = resolverFor([server], { clock });
    for (let i = 0; i < 100; i++) await resolver.lookup("a.test");
    expect(server.asked).toHaveLength(3);
    clock.advance(29_000);
    await resolver.lookup("a.test");
    expect(server.asked).toHaveLength(3);
    clock.advance(1_001);
    await eventually(() => server.asked.length === 6, "another try");
  });

  test("a name with a time to live of 0 is asked for every time", async () => {
    await using server = await DnsServer.start(
      zoneOf(() => [address("a.test", "10.0.0.1", 0)]),
    );
    const resolver = resolverFor([server], { clock: new ManualClock() });
    for (let i = 0; i < 3; i++)
      expect(await resolver.lookup("a.test")).toMatchObject({ volatile: true });
    expect(server.asked.filter((asked) => asked === "A a.test")).toHaveLength(
      3,
    );
  });

  test("a name that nobody uses any more is left alone", async () => {
    await using server = await DnsServer.start(
      zoneOf(() => [address("a.test", "10.0.0.1", 1)]),
    );
    const clock = new ManualClock();
    const resolver = resolverFor([server], { clock });
    await resolver.lookup("a.test");
    await eventually(() => {
      clock.advance(1_001);
      return clock.timers === 0;
    }, "nothing to be planned");
    const asked = server.asked.length;
    clock.advance(3_600_000);
    expect(server.asked).toHaveLength(asked);
    // What is that old is not believed before it is asked for.
    expect(resolver.lookup("a.test")).toBeInstanceOf(Promise);
  });
});

test("the hosts file goes before name servers, and search domains complete short names", async () => {
  await using dir = await TempDir.make();
  const files = {
    hosts: dir.join("hosts"),
    resolvConf: dir.join("resolv.conf"),
  };
  await writeFile(
    files.hosts,
    "10.9.0.1 db.test db # ours\n::9 db.test\nnonsense x.test\n",
  );
  await writeFile(
    files.resolvConf,
    "search corp.test other.test\noptions timeout:1 ndots:2\n",
  );
  await using server = await DnsServer.start(
    zoneOf(() => [
      address("db.test", "10.0.0.1"),
      address("api.other.test", "10.0.0.2"),
    ]),
  );
  const resolver = resolverFor([server], { files });
  expect(await addressesOf(resolver, "DB.test")).toEqual(["10.9.0.1"]);
  expect(server.asked).toEqual([]);
  expect(await addressesOf(resolver, "api")).toEqual(["10.0.0.2"]);
  expect(server.asked[0]).toContain("api.corp.test");
  // A dot at the end: that name and no other.
  expect(await addressesOf(resolver, "api.")).toEqual([
    "missing: there is no address of api",
  ]);
});

test("system files are read as the system reads them", () => {
  expect(parseHosts("1.2.3.4 A b\n# 5.6.7.8 c\n1.2.3.4 b\n")).toEqual(
    new Map([
      ["a", ["1.2.3.4"]],
      ["b", ["1.2.3.4"]],
    ]),
  );
  expect(
    parseResolvConf("domain a.test\nsearch b.test . c.test\nnameserver ::1\n"),
  ).toEqual({ search: ["b.test", "c.test"], dots: 1 });
});
