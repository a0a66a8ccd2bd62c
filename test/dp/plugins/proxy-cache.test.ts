import type { IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { readPluginConfig } from "../../../src/model/plugins.ts";
import { systemClock, type Clock } from "../../../src/runtime/clock.ts";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway, type Asked } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

type Headers = Readonly<Record<string, string | string[]>>;

/** Counts what reaches it: each answer's body is the number of the request. */
class Counting implements AsyncDisposable {
  readonly upstream: Upstream;
  readonly gateway: TestGateway;
  #nowMs: { ms: number };

  private constructor(
    upstream: Upstream,
    gateway: TestGateway,
    now: { ms: number },
  ) {
    this.upstream = upstream;
    this.gateway = gateway;
    this.#nowMs = now;
  }

  static async start(
    config: object = {},
    options: {
      readonly headers?: Headers;
      readonly status?: number;
      readonly body?: string;
      readonly plugins?: Parameters<typeof TestGateway.start>[0];
      readonly seen?: (request: IncomingMessage) => void;
    } = {},
  ): Promise<Counting> {
    let count = 0;
    const upstream = await Upstream.start((request, response) => {
      request.resume();
      options.seen?.(request);
      response.writeHead(options.status ?? 200, {
        "content-type": "application/json",
        ...options.headers,
      });
      response.end((options.body ?? "") + String(++count));
    });
    const now = { ms: 0 };
    const clock: Clock = {
      ...systemClock,
      now: () => 1_800_000_000_000 + now.ms,
      monotonic: () => systemClock.monotonic() + now.ms,
    };
    const gateway = await TestGateway.start(
      [
        ...api(upstream.port),
        routePlugin(3, "proxy-cache", { strategy: "memory", ...config }),
        ...(options.plugins ?? []),
      ],
      { clock },
    );
    return new Counting(upstream, gateway, now);
  }

  pass(seconds: number): void {
    this.#nowMs.ms += seconds * 1000;
  }

  ask(
    path = "/api",
    options: Parameters<TestGateway["ask"]>[1] = {},
  ): Promise<Asked> {
    return this.gateway.ask(path, options);
  }

  /** What the answers to requests one after the other were, and what the cache did. */
  async course(
    ...asks: readonly (readonly [string, object?])[]
  ): Promise<string[]> {
    const out: string[] = [];
    for (const [path, options] of asks) {
      const { headers, text } = await this.ask(path, options);
      out.push(`${text} ${String(headers["x-cache-status"])}`);
    }
    return out;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]();
    await this.upstream[Symbol.asyncDispose]();
  }
}

test("an answer is given again until its time is over, with its headers, its age and a key", async () => {
  await using cache = await Counting.start(
    { cache_ttl: 10 },
    { headers: { "x-own": "kept" } },
  );
  const first = await cache.ask();
  cache.pass(9);
  const second = await cache.ask();
  expect([first.text, second.text]).toEqual(["1", "1"]);
  expect(first.headers).toMatchObject({ "x-cache-status": "Miss" });
  expect(second.headers).toMatchObject({
    "x-cache-status": "Hit",
    age: "9",
    "x-own": "kept",
    "content-type": "application/json",
    "x-cache-key": expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
  });
  cache.pass(2);
  expect(await cache.course(["/api"])).toEqual(["2 Miss"]);
});

test("method, path, query and Accept-Encoding tell answers apart; the order of arguments does not", async () => {
  await using cache = await Counting.start();
  expect(
    await cache.course(
      ["/api/a?x=1&y=2"],
      ["/api/a?y=2&x=1"],
      ["/api/A?x=1&y=2"],
      ["/api/a?x=2"],
      ["/api/a?x=1&y=2", { headers: { "accept-encoding": "gzip" } }],
    ),
  ).toEqual(["1 Miss", "1 Hit", "2 Miss", "3 Miss", "4 Miss"]);
});

test("answers to the methods that are named are kept, each for itself, and to no others", async () => {
  await using cache = await Counting.start({ request_method: ["POST", "PUT"] });
  expect(
    await cache.course(
      ["/api", { method: "POST" }],
      ["/api", { method: "POST" }],
      ["/api", { method: "PUT" }],
      ["/api"],
      ["/api"],
    ),
  ).toEqual(["1 Miss", "1 Hit", "2 Miss", "3 Bypass", "4 Bypass"]);
});

test("arguments that are no UTF-8 are told apart by their bytes", async () => {
  await using cache = await Counting.start({ vary_query_params: ["q", "é"] });
  expect(
    await cache.course(
      ["/api?q=%E9"],
      ["/api?q=%E8"],
      ["/api?q=%C3%A9"],
      ["/api?q=%e9&other=1"],
      ["/api?%C3%A9=1"],
      ["/api?%C3%A9=2"],
    ),
  ).toEqual(["1 Miss", "2 Miss", "3 Miss", "1 Hit", "4 Miss", "5 Miss"]);
});

test("only what is named tells answers apart: vary_query_params, vary_headers, ignore_uri_case", async () => {
  await using cache = await Counting.start({
    vary_query_params: ["x"],
    vary_headers: ["X-Team"],
    ignore_uri_case: true,
  });
  expect(
    await cache.course(
      ["/api/a?x=1&y=2"],
      ["/api/A?x=1&y=3", { headers: { "accept-encoding": "gzip" } }],
      ["/api/a?x=1", { headers: { "x-team": "blue" } }],
    ),
  ).toEqual(["1 Miss", "1 Hit", "2 Miss"]);
});

test("consumers do not get each other's answers", async () => {
  const person = (n: number, key: string) => [
    resource("consumer", { id: id(n), username: key }),
    resource("keyauthCredential", {
      id: id(n + 1),
      key,
      consumer: { id: id(n) },
    }),
  ];
  await using cache = await Counting.start(
    {},
    {
      plugins: [
        routePlugin(4, "key-auth"),
        ...person(10, "ann"),
        ...person(20, "bob"),
      ],
    },
  );
  const as = (apikey: string) => ({ headers: { apikey } });
  expect(
    await cache.course(
      ["/api", as("ann")],
      ["/api", as("bob")],
      ["/api", as("ann")],
    ),
  ).toEqual(["1 Miss", "2 Miss", "1 Hit"]);
  expect((await cache.ask()).status).toBe(401);
});

test.each([
  ["another status", {}, { status: 500 }, {}],
  ["another type", {}, { headers: { "content-type": "text/html" } }, {}],
  [
    "a type with other parameters",
    { content_type: ["application/json; charset=utf-8"] },
    {},
    {},
  ],
  ["a cookie", {}, { headers: { "set-cookie": "a=b" } }, {}],
  ["Vary: *", {}, { headers: { vary: "*" } }, {}],
  [
    "Cache-Control: private, when that is obeyed",
    { cache_control: true },
    { headers: { "cache-control": "private" } },
    {},
  ],
  ["another method", {}, {}, { method: "DELETE" }],
  [
    "a request with no-store, when that is obeyed",
    { cache_control: true },
    {},
    { headers: { "cache-control": "no-store" } },
  ],
])("an answer with %s is not kept", async (_what, config, answer, options) => {
  await using cache = await Counting.start(config, answer);
  expect(await cache.course(["/api", options], ["/api", options])).toEqual([
    "1 Bypass",
    "2 Bypass",
  ]);
});

test("a type with parameters is kept when the configuration names it so, in whatever case and order", async () => {
  await using cache = await Counting.start(
    { content_type: ['application/json;v=1; charset="utf-8"'] },
    { headers: { "content-type": "Application/JSON; charset=UTF-8; v=1" } },
  );
  expect(await cache.course(["/api"], ["/api"])).toEqual(["1 Miss", "1 Hit"]);
});

test("with cache_control the upstream says how long, and the client how old", async () => {
  await using cache = await Counting.start(
    { cache_control: true, storage_ttl: 100 },
    { headers: { "cache-control": "public, max-age=10, s-maxage=20" } },
  );
  const saying = (control: string) =>
    ["/api", { headers: { "cache-control": control } }] as const;
  expect((await cache.ask(...saying("only-if-cached"))).status).toBe(504);
  expect(await cache.course(["/api"])).toEqual(["1 Miss"]);
  cache.pass(15);
  expect(
    await cache.course(
      ["/api"],
      saying("only-if-cached"),
      saying("min-fresh=3"),
    ),
  ).toEqual(["1 Hit", "1 Hit", "1 Hit"]);
  expect(await cache.course(saying("max-age=5"))).toEqual(["2 Refresh"]);
  cache.pass(25);
  expect(
    await cache.course(saying("max-stale=10"), saying("max-stale"), ["/api"]),
  ).toEqual(["2 Hit", "2 Hit", "3 Refresh"]);
});

test("the headers about the cache can be left out", async () => {
  await using cache = await Counting.start({
    response_headers: {
      age: false,
      "X-Cache-Status": false,
      "X-Cache-Key": false,
    },
  });
  await cache.ask();
  const { headers, text } = await cache.ask();
  expect(text).toBe("1");
  for (const name of ["age", "x-cache-status", "x-cache-key"])
    expect(headers).not.toHaveProperty(name);
});

test("what the client gets of the first answer is not delayed by keeping it, and one that breaks off is not kept", async () => {
  let count = 0;
  await using upstream = await Upstream.start((_request, response) => {
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": "10",
    });
    response.write(String(++count));
    setImmediate(() => {
      if (count === 1) response.destroy();
      else response.end("234567890");
    });
  });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "proxy-cache", { strategy: "memory" }),
  ]);
  await expect(gateway.ask("/api")).rejects.toThrow();
  const second = await gateway.ask("/api");
  expect(second).toMatchObject({ status: 200, text: "2234567890" });
  expect(second.headers["x-cache-status"]).toBe("Miss");
  expect((await gateway.ask("/api")).headers["x-cache-status"]).toBe("Hit");
});

test("a change of the configuration begins anew; a new revision without one does not", async () => {
  await using upstream = await Upstream.start();
  const state = (config: object) => [
    ...api(upstream.port),
    routePlugin(3, "proxy-cache", { strategy: "memory", ...config }),
  ];
  await using gateway = await TestGateway.start(state({}));
  const status = async () =>
    (await gateway.ask("/api")).headers["x-cache-status"];
  expect(await status()).toBe("Miss");
  await gateway.serve([
    ...state({}),
    resource("upstream", { id: id(9), name: "other" }),
  ]);
  expect(await status()).toBe("Hit");
  await gateway.serve(state({ cache_ttl: 10 }));
  expect(await status()).toBe("Miss");
});

test.each([
  [{}, "config.strategy"],
  [{ strategy: "redis" }, "config.strategy"],
  [{ strategy: "memory", cache_ttl: 0 }, "config.cache_ttl"],
  [{ strategy: "memory", response_code: [99] }, "config.response_code[0]"],
])("%j is refused", (config, field) => {
  expect(readPluginConfig("proxy-cache", config)).toMatchObject({
    ok: false,
    violations: expect.arrayContaining([
      expect.objectContaining({ field }),
    ]) as unknown,
  });
});

test("the answer to a HEAD keeps the length that it tells", async () => {
  await using upstream = await Upstream.start((request, response) => {
    request.resume();
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": 11,
    });
    response.end(request.method === "HEAD" ? undefined : '"a string"\n');
  });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "proxy-cache", { strategy: "memory" }),
  ]);
  for (const expected of ["Miss", "Hit"]) {
    const { headers, text } = await gateway.ask("/api", { method: "HEAD" });
    expect([
      headers["x-cache-status"],
      headers["content-length"],
      text,
    ]).toEqual([expected, "11", ""]);
  }
  const { headers, text } = await gateway.ask("/api");
  expect([headers["x-cache-status"], text]).toEqual(["Miss", '"a string"\n']);
});
