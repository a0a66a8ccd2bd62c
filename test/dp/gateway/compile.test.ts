import { describe, expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { COMPILE_SLICE_ENTRIES } from "../../../src/dp/gateway/compile/changes.ts";
import {
  compileSlices,
  type CompileContext,
  type Compiled,
} from "../../../src/dp/gateway/compile/compile.ts";
import type { Runtime } from "../../../src/dp/gateway/runtime.ts";
import { cursorOf } from "../../../src/model/cursor.ts";
import type { Entry } from "../../../src/model/bucket.ts";
import { compile, contextOf } from "../../support/compiling.ts";
import { entryOf, snapshotOf, withEntries } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";

function compileAll(
  resources: readonly Resource[],
  some: Partial<CompileContext> = {},
): Compiled {
  return compile(snapshotOf(resources), some);
}

function runtimeOf(
  resources: readonly Resource[],
  some: Partial<CompileContext> = {},
): Runtime {
  const compiled = compileAll(resources, some);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.violations));
  return compiled.runtime;
}

const service = (number: number, fields: object = {}): Resource =>
  resource("service", { id: id(number), host: "a.example", ...fields });
const route = (number: number, to: number | undefined, fields: object = {}) =>
  resource("route", {
    id: id(number),
    paths: [`/${number}`],
    ...(to === undefined ? {} : { service: { id: id(to) } }),
    ...fields,
  });

function routesOf(runtime: Runtime): number[] {
  const numbers: number[] = [];
  for (let n = 1; n < 100; n++) {
    const match = runtime.router.match({
      method: "GET",
      host: "",
      port: 80,
      path: `/${n}`,
      scheme: "http",
      header: () => [],
    });
    if (match?.route.id === id(n)) numbers.push(n);
  }
  return numbers;
}

describe("what is refused as INVALID, with key, field and reason", () => {
  const bad = (key: string, value: Uint8Array): Entry => ({ key, value });
  const entry = entryOf(service(1));

  test.each<
    [what: string, entries: Entry[], key: string, field: string, reason: RegExp]
  >([
    [
      "a value that is no resource",
      [bad(`route/${id(2)}`, Buffer.from([0xff]))],
      `route/${id(2)}`,
      "",
      /value is not a resource/,
    ],
    [
      "an empty value",
      [bad(`route/${id(2)}`, Buffer.alloc(0))],
      `route/${id(2)}`,
      "id",
      /no resource/,
    ],
    [
      "a key of another id",
      [bad(`service/${id(2)}`, entry.value)],
      `service/${id(2)}`,
      "id",
      new RegExp(`service/${id(1)}`),
    ],
    [
      "a key of another kind",
      [bad(`route/${id(1)}`, entry.value)],
      `route/${id(1)}`,
      "id",
      new RegExp(`service/${id(1)}`),
    ],
    ["a key that is none", [bad("x", entry.value)], "x", "id", /key is "x"/],
    [
      "an expression that does not compile",
      [entryOf(route(2, undefined, { paths: ["~/("] }))],
      `route/${id(2)}`,
      "paths[0]",
      /regular expression/,
    ],
    [
      "a host that is none",
      [entryOf(route(2, undefined, { hosts: ["a b"] }))],
      `route/${id(2)}`,
      "hosts[0]",
      /host/,
    ],
    [
      "a field out of its range",
      [entryOf(service(2, { port: 70000 }))],
      `service/${id(2)}`,
      "port",
      /65535/,
    ],
    [
      "a service that is not there",
      [entryOf(route(2, 9))],
      `route/${id(2)}`,
      "service",
      /does not exist/,
    ],
    [
      "an upstream that is not there",
      [
        entryOf(
          resource("target", {
            id: id(2),
            upstream: { id: id(9) },
            target: "a:1",
          }),
        ),
      ],
      `target/${id(2)}`,
      "upstream",
      /does not exist/,
    ],
    [
      "a consumer that is not there",
      [
        entryOf(
          resource("keyauthCredential", {
            id: id(2),
            consumer: { id: id(9) },
            key: "k",
          }),
        ),
      ],
      `keyauth_credential/${id(2)}`,
      "consumer",
      /does not exist/,
    ],
    [
      "a plugin's route that is not there",
      [
        entryOf(
          resource("plugin", { id: id(2), name: "cors", route: { id: id(9) } }),
        ),
      ],
      `plugin/${id(2)}`,
      "route",
      /does not exist/,
    ],
    [
      "an authority that is not there",
      [entryOf(service(2, { protocol: "https", caCertificates: [id(9)] }))],
      `service/${id(2)}`,
      "ca_certificates[0]",
      /does not exist/,
    ],
    [
      "a configuration that is not the plugin's",
      [
        entryOf(
          resource("plugin", { id: id(2), name: "cors", config: { nope: 1 } }),
        ),
      ],
      `plugin/${id(2)}`,
      "config.nope",
      /./,
    ],
  ])("%s", (_what, entries, key, field, reason) => {
    const compiled = compile(withEntries(entries));
    expect(compiled).toMatchObject({ ok: false, class: "INVALID" });
    const violations = compiled.ok ? [] : compiled.violations;
    expect(violations).toContainEqual({
      key,
      field,
      reason: expect.stringMatching(reason) as string,
    });
  });

  test("all of them at once, by key", () => {
    const compiled = compileAll([
      route(3, undefined, { paths: ["~/(", "b"] }),
      route(2, undefined, { hosts: ["*"] }),
      service(1),
    ]);
    expect(
      compiled.ok
        ? []
        : compiled.violations.map(({ key, field }) => [key, field]),
    ).toEqual([
      [`route/${id(2)}`, "hosts[0]"],
      [`route/${id(3)}`, "paths[0]"],
      [`route/${id(3)}`, "paths[1]"],
    ]);
  });
});

describe("what is not refused", () => {
  test("fields of a newer version within a known kind", () => {
    const { key, value } = entryOf(service(1));
    // Field 1 is the service; a field 99 of it, and one of the resource.
    const inner = Buffer.concat([
      value.subarray(2),
      Buffer.from([0x9a, 6, 1, 7]),
    ]);
    const grown = Buffer.concat([
      Buffer.from([0x0a, inner.length]),
      inner,
      Buffer.from([0x9a, 6, 1, 7]),
    ]);
    expect(compile(withEntries([{ key, value: grown }])).ok).toBe(true);
  });

  test("an empty state", () => {
    expect(compileAll([]).ok).toBe(true);
  });
});

test("an unknown kind is UNSUPPORTED, whatever is done about plugins", () => {
  const key = `licence/${id(1)}`;
  const entries = [{ key, value: Buffer.from([0x9a, 6, 1, 7]) }];
  for (const onUnsupported of ["refuse", "fail-route"] as const)
    expect(compile(withEntries(entries), { onUnsupported })).toMatchObject({
      ok: false,
      class: "UNSUPPORTED",
      violations: [
        { key, reason: 'this data plane does not know the kind "licence"' },
      ],
    });
});

describe("a plugin that this data plane lacks", () => {
  const state = [
    service(1),
    route(2, 1),
    resource("plugin", {
      id: id(3),
      name: "hmac-auth",
      route: { id: id(2) },
      config: { minute: 5 },
    }),
  ];

  test("is refused as UNSUPPORTED, naming the plugin's entry", () => {
    expect(compileAll(state)).toMatchObject({
      ok: false,
      class: "UNSUPPORTED",
      violations: [
        {
          key: `plugin/${id(3)}`,
          field: "name",
          reason: expect.stringContaining("plugin/hmac-auth") as string,
        },
      ],
    });
  });

  test("is told as degraded when its routes may fail", () => {
    const runtime = runtimeOf(state, { onUnsupported: "fail-route" });
    expect(runtime.degraded).toEqual([
      {
        key: `plugin/${id(3)}`,
        reason: expect.stringContaining(
          `"hmac-auth": requests of route ${id(2)} answer 503`,
        ) as string,
      },
    ]);
  });

  test("is no matter when it is disabled", () => {
    const disabled = resource("plugin", {
      id: id(3),
      name: "hmac-auth",
      enabled: false,
    });
    expect(compileAll([disabled]).ok).toBe(true);
  });

  test("does not hide that something else is invalid", () => {
    expect(
      compileAll([...state, route(4, undefined, { paths: ["~/("] })]),
    ).toMatchObject({ ok: false, class: "INVALID" });
  });
});

test("routes that cannot be proxied, and those of services that are not served, are left out", () => {
  const runtime = runtimeOf([
    service(50),
    service(51, { enabled: false }),
    service(52, { protocol: "grpc" }),
    service(53, { protocol: "tcp", host: "a.example" }),
    route(1, 50),
    route(2, 51),
    route(3, 52),
    route(4, 53),
    route(5, undefined),
    route(6, 50, { protocols: ["grpc"], stripPath: false }),
    route(7, 50, {
      protocols: ["tcp"],
      paths: [],
      snis: [],
      sources: [{ ip: "10.0.0.1" }],
    }),
    route(8, 50, { protocols: ["ws"] }),
    route(9, 50, { paths: [], expression: 'http.path == "/9"' }),
    route(10, 50, { protocols: ["https"] }),
    resource("plugin", { id: id(60), name: "cors", service: { id: id(51) } }),
  ]);
  expect(routesOf(runtime)).toEqual([1, 3, 5, 6, 10]);
  expect(runtime.counts).toEqual({ routes: 5, services: 2 });
});

test("what has not changed is not read again", () => {
  const first = runtimeOf([service(1), route(2, 1), route(3, 1)]);
  const second = runtimeOf(
    [service(1), route(2, 1), route(3, 1, { methods: ["GET"] })],
    {
      previous: first,
    },
  );
  const draft = (runtime: Runtime, key: string) =>
    runtime.links.entries.get(key)?.draft;
  expect(draft(second, `route/${id(2)}`)).toBe(draft(first, `route/${id(2)}`));
  expect(draft(second, `route/${id(3)}`)).not.toBe(
    draft(first, `route/${id(3)}`),
  );
});

test("a balancer goes on where it is while its targets stay the same", () => {
  const upstream = resource("upstream", { id: id(1), name: "u" });
  const target = (number: number, weight: number) =>
    resource("target", {
      id: id(number),
      upstream: { id: id(1) },
      target: `t${number}:80`,
      weight,
    });
  const first = runtimeOf([upstream, target(2, 1), target(3, 1)]);
  const same = runtimeOf([upstream, target(2, 1), target(3, 1), service(9)], {
    previous: first,
  });
  const other = runtimeOf([upstream, target(2, 1), target(3, 2)], {
    previous: same,
  });
  const balancer = (runtime: Runtime) => runtime.upstreams.get(id(1))?.balancer;
  expect(balancer(first)).toBeDefined();
  expect(balancer(same)).toBe(balancer(first));
  expect(balancer(other)).not.toBe(balancer(first));
});

test("compiling 20,000 routes pauses at least every 64 steps, and every few dozen entries while it reads", () => {
  const resources = [service(1)];
  for (let n = 2; n < 20_002; n++)
    resources.push(
      route(n, 1, {
        paths: [`/p${n % 5000}/${n}`, `~/q${n}/\\d+`].slice(0, 1 + (n % 2)),
        hosts: n % 3 === 0 ? [`h${n % 100}.example`] : [],
      }),
    );
  const snapshot = snapshotOf(resources);
  const work = compileSlices(
    { cursor: cursorOf("e", 1n, snapshot.root), snapshot },
    contextOf(),
  );
  let most = 0;
  let handled = 0;
  let step = work.next();
  for (; step.done !== true; step = work.next()) {
    most = Math.max(most, step.value);
    handled += step.value;
  }
  expect(step.value.ok).toBe(true);
  expect(COMPILE_SLICE_ENTRIES).toBeLessThanOrEqual(64);
  expect(most).toBeLessThanOrEqual(64);
  // Every entry was counted in each of the passes: reading, taking the place of what was there, linking, and routes in the router.
  expect(handled).toBeGreaterThan(20_001 * 4);
}, 60_000);
