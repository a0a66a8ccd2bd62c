import fc from "fast-check";
import { expect, test } from "vitest";
import type { Compiled } from "../../../src/dp/gateway/compile/compile.ts";
import { Balancer } from "../../../src/dp/gateway/upstreams/balancer.ts";
import type { Runtime } from "../../../src/dp/gateway/runtime.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { runSlices } from "../../../src/model/slices.ts";
import { CA_CERT, RSA_CERT, RSA_KEY } from "../../support/certificates.ts";
import { compile, contextOf } from "../../support/compiling.ts";
import { entryOf, snapshotOf } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";

/** Few of each, so that changes meet; references are to what may not be there. */
const EACH = 4;
const number = fc.integer({ min: 1, max: EACH });
const hosts = fc.subarray(["a.com", "*.a.com", "b.*", "a.com:8000"]);
const ref = (kind: number, n: number | undefined) =>
  n === undefined ? {} : { id: id(kind * 100 + n) };

const SERVICE = 1;
const ROUTE = 2;
const UPSTREAM = 3;
const CONSUMER = 4;
const PLUGIN = 5;
const CERTIFICATE = 6;
const AUTHORITY = 7;
const GROUP = 11;

const own = (kind: number, n: number) => ({ id: id(kind * 100 + n) });
const maybe = fc.option(number, { nil: undefined });

const arbitraryResource: fc.Arbitrary<Resource> = fc
  .oneof({
    weight: 3,
    arbitrary: fc.record({
      n: number,
      host: fc.constantFrom("u1", "u2", "plain.example"),
      protocol: fc.constantFrom("http", "https", "tcp"),
      enabled: fc.boolean(),
      certificate: maybe,
      authority: maybe,
    }),
  })
  .map(({ n, host, protocol, enabled, certificate, authority }) =>
    resource("service", {
      ...own(SERVICE, n),
      host,
      protocol,
      enabled,
      ...(protocol === "https" && certificate !== undefined
        ? { clientCertificate: ref(CERTIFICATE, certificate) }
        : {}),
      ...(protocol === "https" && authority !== undefined
        ? { caCertificates: [id(AUTHORITY * 100 + authority)] }
        : {}),
    }),
  );

const arbitraryRoute = fc
  .record({
    n: fc.integer({ min: 1, max: 12 }),
    service: maybe,
    hosts,
    paths: fc.subarray(["/", "/a", "/a/b", "~/a/\\d+", "~/[a-z]+/x"]),
    methods: fc.subarray(["GET", "POST"]),
  })
  .map(({ n, service, ...conditions }) =>
    resource("route", {
      ...own(ROUTE, n),
      ...conditions,
      ...(conditions.paths.length + conditions.hosts.length === 0
        ? { methods: ["GET"] }
        : {}),
      ...(service === undefined ? {} : { service: ref(SERVICE, service) }),
    }),
  );

const others: fc.Arbitrary<Resource> = fc.oneof(
  fc
    .record({ n: number, name: fc.constantFrom("u1", "u2", "u3"), c: maybe })
    .map(({ n, name, c }) =>
      resource("upstream", {
        ...own(UPSTREAM, n),
        name,
        ...(c === undefined ? {} : { clientCertificate: ref(CERTIFICATE, c) }),
      }),
    ),
  fc
    .record({ n: number, upstream: number, weight: fc.nat(2) })
    .map(({ n, upstream, weight }) =>
      resource("target", {
        ...own(8, n),
        upstream: ref(UPSTREAM, upstream),
        target: `10.0.0.${n}:80`,
        weight,
      }),
    ),
  fc
    .record({ n: number, username: fc.constantFrom("ann", "bob") })
    .map(({ n, username }) =>
      resource("consumer", {
        ...own(CONSUMER, n),
        username: `${username}${n}`,
      }),
    ),
  fc
    .record({ n: number, consumer: number, key: fc.constantFrom("k1", "k2") })
    .map(({ n, consumer, key }) =>
      resource("keyauthCredential", {
        ...own(9, n),
        consumer: ref(CONSUMER, consumer),
        key,
      }),
    ),
  fc
    .record({ n: number, consumer: number, group: fc.constantFrom("g", "h") })
    .map(({ n, consumer, group }) =>
      resource("acl", {
        ...own(10, n),
        consumer: ref(CONSUMER, consumer),
        group,
      }),
    ),
  fc
    .record({ n: number, name: fc.constantFrom("a", "b") })
    .map(({ n, name }) =>
      resource("consumerGroup", { ...own(GROUP, n), name: `${name}${n}` }),
    ),
  fc
    .record({ n: number, consumer: number, group: number })
    .map(({ n, consumer, group }) =>
      resource("consumerGroupConsumer", {
        ...own(12, n),
        consumer: ref(CONSUMER, consumer),
        consumerGroup: ref(GROUP, group),
      }),
    ),
  fc
    .record({ n: number, group: number, service: maybe })
    .map(({ n, group, service }) =>
      resource("plugin", {
        ...own(PLUGIN, n),
        name: "correlation-id",
        consumerGroup: ref(GROUP, group),
        ...(service === undefined ? {} : { service: ref(SERVICE, service) }),
      }),
    ),
  fc
    .record({
      n: number,
      name: fc.constantFrom("cors", "correlation-id", "not-there"),
      route: maybe,
      service: maybe,
      consumer: maybe,
      enabled: fc.boolean(),
    })
    .map(({ n, name, route, service, consumer, enabled }) =>
      resource("plugin", {
        ...own(PLUGIN, n),
        name,
        enabled,
        ...(route === undefined ? {} : { route: ref(ROUTE, route) }),
        ...(service === undefined ? {} : { service: ref(SERVICE, service) }),
        ...(consumer === undefined || name === "cors"
          ? {}
          : { consumer: ref(CONSUMER, consumer) }),
      }),
    ),
  number.map((n) =>
    resource("certificate", {
      ...own(CERTIFICATE, n),
      cert: RSA_CERT,
      key: RSA_KEY,
    }),
  ),
  number.map((n) =>
    resource("caCertificate", { ...own(AUTHORITY, n), cert: CA_CERT }),
  ),
);

interface Step {
  readonly puts: readonly Resource[];
  /** Shares of the entries that are there: which of them go. */
  readonly deletes: readonly number[];
  /** Whether the next change is made to this state even if it cannot be served. */
  readonly stays: boolean;
}

/** What most references are to. */
const BASE: readonly Resource[] = [1, 2, 3, 4].flatMap((n) => [
  resource("caCertificate", { ...own(AUTHORITY, n), cert: CA_CERT }),
  resource("certificate", {
    ...own(CERTIFICATE, n),
    cert: RSA_CERT,
    key: RSA_KEY,
  }),
  resource("service", { ...own(SERVICE, n), host: "plain.example" }),
  resource("upstream", { ...own(UPSTREAM, n), name: `u${n + 1}` }),
  resource("consumer", { ...own(CONSUMER, n), username: `ann${n}` }),
  resource("consumerGroup", { ...own(GROUP, n), name: `a${n}` }),
  resource("route", { ...own(ROUTE, n), paths: ["/"] }),
]);

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    puts: fc.array(fc.oneof(arbitraryResource, arbitraryRoute, others), {
      maxLength: 6,
    }),
    deletes: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), {
      maxLength: 2,
    }),
    stays: fc.boolean(),
  }),
  { minLength: 3, maxLength: 12 },
);

/** Everything that can be asked of a revision. */
function answersOf(runtime: Runtime): unknown {
  const { router, chains, consumers, services, upstreams } = runtime;
  const served = (of: string | undefined) => {
    const service = services.get(of ?? "");
    if (service === undefined) return undefined;
    const { id: serviceId, host, protocol, hostHeader, peers } = service;
    return {
      plain: [serviceId, host, protocol, hostHeader],
      balanced: peers instanceof Balancer,
      ofUpstream: [1, 2, 3, 4].map(
        (n) => upstreams.get(id(UPSTREAM * 100 + n))?.balancer === peers,
      ),
    };
  };
  const asked = ["a.com", "x.a.com", "b.org", ""].flatMap((host) =>
    ["/", "/a/b/c", "/a/12", "/abc/x"].flatMap((path) =>
      ["GET", "POST"].map((method) => ({ host, path, method })),
    ),
  );
  const numbers = [1, 2, 3, 4];
  const ids = (kind: number) => ["", ...numbers.map((n) => id(kind * 100 + n))];
  return {
    matches: asked.map((request) => {
      const match = router.match({
        ...request,
        port: 80,
        scheme: "http",
        header: () => [],
      });
      return (
        match && [
          match.route.id,
          match.path.prefix,
          served(match.route.serviceId),
        ]
      );
    }),
    chains: ids(ROUTE).flatMap((route) =>
      ids(SERVICE).flatMap((service) =>
        ids(CONSUMER).map((consumer) => {
          const groups = consumers.consumerGroupsOf(consumer).map((g) => g.id);
          const subject = { route, service, consumer, groups };
          return chains.chainOf(subject).map(({ key }) => key);
        }),
      ),
    ),
    consumers: ids(CONSUMER).map((one) => [
      consumers.byId(one),
      consumers.groupsOf(one),
      consumers.consumerGroupsOf(one),
    ]),
    keys: ["k1", "k2"].map((key) => consumers.byKey(key)),
    names: numbers.map((n) => consumers.byUsername(`ann${n}`)),
    counts: runtime.counts,
    degraded: runtime.degraded,
    warnings: runtime.warnings,
    uses: [...runtime.agents.values()].sort((a, b) => a - b),
    entries: runtime.links.entries.size,
  };
}

const verdictOf = (compiled: Compiled): unknown =>
  compiled.ok ? answersOf(compiled.runtime) : compiled;

test.each(["refuse", "fail-route"] as const)(
  "after any changes a revision that was made from the one before is what it would be if made from nothing (%s)",
  (onUnsupported) => {
    let served = 0;
    fc.assert(
      fc.property(steps, (all) => {
        const context = contextOf({ onUnsupported });
        let snapshot = snapshotOf(BASE);
        let good = snapshot;
        let previous: Runtime | undefined;
        for (const { puts, deletes, stays } of all) {
          const keys = [...snapshot.entries()].map(({ key }) => key);
          const gone = deletes.map((at) => keys[Math.floor(at * keys.length)]);
          const entries = new Map(puts.map(entryOf).map((e) => [e.key, e]));
          snapshot = runSlices(
            snapshot.applySlices({
              puts: [...entries.values()],
              deletes: gone.filter(
                (key) => key !== undefined && !entries.has(key),
              ) as string[],
            }),
          );
          const before = previous && JSON.stringify(answersOf(previous));
          const next = compile(snapshot, { ...context, previous });
          expect(verdictOf(next)).toEqual(
            verdictOf(compile(snapshot, contextOf({ onUnsupported }))),
          );
          // What is served meanwhile has not changed.
          if (previous !== undefined)
            expect(JSON.stringify(answersOf(previous))).toBe(before);
          if (!next.ok) {
            if (!stays) snapshot = good;
            continue;
          }
          served++;
          good = snapshot;
          previous = next.runtime;
        }
      }),
      { numRuns: 30 },
    );
    expect(served).toBeGreaterThan(40);
  },
  60_000,
);
