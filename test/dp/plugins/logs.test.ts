import { readFile, rename } from "node:fs/promises";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { readPluginConfig } from "../../../src/model/plugins.ts";
import { api, routePlugin } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { TempDir } from "../../support/temp-dir.ts";
import { Upstream } from "../../support/upstream.ts";

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

/** Takes what http-log sends; answers the first so many with 503. */
class Collector implements AsyncDisposable {
  readonly received: Received[] = [];
  readonly #server: Server;
  #failures: number;

  private constructor(failures: number) {
    this.#failures = failures;
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { method = "", url = "", headers } = request;
        if (this.#failures-- > 0) {
          response.writeHead(503).end();
          return;
        }
        const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
        this.received.push({ method, url, headers, body });
        response.end();
      });
    });
  }

  static async start(failures = 0): Promise<Collector> {
    const collector = new Collector(failures);
    collector.#server.listen(0, "127.0.0.1");
    await once(collector.#server, "listening");
    return collector;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }
}

async function logging(
  config: (port: number) => object,
  use: (
    gateway: TestGateway,
    collector: Collector,
    state: readonly Resource[],
  ) => Promise<void>,
  options: { readonly failures?: number; readonly metrics?: Registry } = {},
): Promise<void> {
  await using collector = await Collector.start(options.failures);
  await using upstream = await Upstream.start();
  const state = api(upstream.port);
  await using gateway = await TestGateway.start(
    [...state, routePlugin(3, "http-log", config(collector.port))],
    options.metrics === undefined ? {} : { metrics: options.metrics },
  );
  await use(gateway, collector, state);
}

const arrived = (collector: Collector, count: number): Promise<true> =>
  eventually(
    () => (collector.received.length >= count ? true : undefined),
    `${count} batches`,
  );

test("http-log sends one request as an object with Kong's names, with the method and headers it is told", async () => {
  await logging(
    (port) => ({
      http_endpoint: `http://user:p%40ss@127.0.0.1:${port}/logs?a=1`,
      method: "PUT",
      content_type: "application/json; charset=utf-8",
      headers: { "X-Own": "yes" },
    }),
    async (gateway, collector) => {
      await gateway.ask("/api/x?q=1");
      await arrived(collector, 1);
      const [sent] = collector.received;
      expect(sent).toMatchObject({
        method: "PUT",
        url: "/logs?a=1",
        headers: {
          "content-type": "application/json; charset=utf-8",
          "x-own": "yes",
          authorization: `Basic ${Buffer.from("user:p@ss").toString("base64")}`,
        },
        body: {
          request: {
            method: "GET",
            uri: "/api/x?q=1",
            querystring: { q: "1" },
          },
          response: { status: 200 },
          route: { name: "route" },
          service: { name: "service" },
          client_ip: "127.0.0.1",
          upstream_uri: "/x?q=1",
        },
      });
    },
  );
});

test("http-log gathers what comes within the delay, and sends a full batch at once", async () => {
  await logging(
    (port) => ({
      http_endpoint: `http://127.0.0.1:${port}/`,
      queue: { max_batch_size: 2, max_coalescing_delay: 0.2 },
    }),
    async (gateway, collector) => {
      for (const n of [1, 2, 3]) await gateway.ask(`/api/${n}`);
      await arrived(collector, 2);
      expect(
        collector.received.map(({ body }) => (body as unknown[]).length),
      ).toEqual([2, 1]);
    },
  );
});

test("http-log tries again until it is taken", async () => {
  await logging(
    (port) => ({
      http_endpoint: `http://127.0.0.1:${port}/`,
      queue: { initial_retry_delay: 0.001, max_retry_delay: 0.01 },
    }),
    async (gateway, collector) => {
      await gateway.ask("/api");
      await arrived(collector, 1);
    },
    { failures: 3 },
  );
});

test("http-log drops and counts what cannot be sent in time, and what is too much", async () => {
  const metrics = new Registry();
  const dropped = async (): Promise<number> => {
    const [value] =
      (
        await metrics
          .getSingleMetric("holdfast_plugin_entries_dropped_total")
          ?.get()
      )?.values ?? [];
    return value?.value ?? 0;
  };
  await logging(
    (port) => ({
      http_endpoint: `http://127.0.0.1:${port}/`,
      queue: { max_retry_time: 0, max_entries: 1, max_batch_size: 100 },
    }),
    async (gateway) => {
      for (const n of [1, 2, 3]) await gateway.ask(`/api/${n}`);
      await eventually(
        async () => ((await dropped()) === 3 ? true : undefined),
        "three dropped entries",
      );
    },
    { failures: Infinity, metrics },
  );
});

test("http-log keeps its connection for the next batch, for as long as it is told to", async () => {
  await using collector = await Upstream.start();
  await using upstream = await Upstream.start();
  const state = (more: object): Resource[] => [
    ...api(upstream.port),
    routePlugin(3, "http-log", {
      http_endpoint: `http://127.0.0.1:${collector.port}/`,
      ...more,
    }),
  ];
  await using gateway = await TestGateway.start(state({}));
  const connections = (count: number): Promise<true> =>
    eventually(
      () => collector.connections === count || undefined,
      `${count} connections`,
    );
  await gateway.ask("/api");
  await connections(1);
  await gateway.serve(state({ keepalive: 1 }));
  // That of before goes with its plugin, and that of now by itself.
  await connections(0);
  await gateway.ask("/api");
  await connections(1);
  await connections(0);
});

test("what http-log has not sent is sent when the plugin goes, and its older settings count", async () => {
  await logging(
    (port) => ({
      http_endpoint: `http://127.0.0.1:${port}/`,
      queue_size: 10,
      flush_timeout: 3000,
    }),
    async (gateway, collector, state) => {
      await gateway.ask("/api");
      await gateway.ask("/api");
      await gateway.serve(state);
      await arrived(collector, 1);
      expect(collector.received[0]?.body).toHaveLength(2);
    },
  );
});

test("a server that never answers holds up neither requests nor the end", async () => {
  await using silent = await Upstream.start(() => undefined);
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "http-log", {
      http_endpoint: `http://127.0.0.1:${silent.port}/`,
      timeout: 50,
      queue: { max_retry_time: 0 },
    }),
  ]);
  expect((await gateway.ask("/api")).status).toBe(200);
});

test("file-log appends a line for each request, to a file that may be moved away", async () => {
  await using temp = await TempDir.make();
  const path = temp.join("access.log");
  const lines = async (file: string): Promise<unknown[]> =>
    (await readFile(file, "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
  const linesIn = (file: string, count: number): Promise<unknown[]> =>
    eventually(async () => {
      const found = await lines(file);
      return found.length === count ? found : undefined;
    }, `${count} lines`);
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "file-log", { path, reopen: true }),
  ]);
  await gateway.ask("/api/1");
  await gateway.ask("/api/2");
  expect(await linesIn(path, 2)).toMatchObject([
    { request: { uri: "/api/1" } },
    { request: { uri: "/api/2" } },
  ]);
  await rename(path, `${path}.1`);
  await gateway.ask("/api/3");
  expect(await linesIn(path, 1)).toMatchObject([
    { request: { uri: "/api/3" } },
  ]);
});

test("without reopen, file-log goes on in the file that it has", async () => {
  await using temp = await TempDir.make();
  const path = temp.join("access.log");
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "file-log", { path }),
  ]);
  const written = (file: string, count: number): Promise<true> =>
    eventually(async () => {
      const text = await readFile(file, "utf8");
      return text.split("\n").length === count + 1 ? true : undefined;
    }, `${count} lines`);
  await gateway.ask("/api");
  await written(path, 1);
  await rename(path, `${path}.1`);
  await gateway.ask("/api");
  await written(`${path}.1`, 2);
});

test("a file that cannot be written does not hurt requests", async () => {
  await using temp = await TempDir.make();
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "file-log", { path: temp.join("none", "a.log") }),
  ]);
  for (const n of [1, 2])
    expect((await gateway.ask(`/api/${n}`)).status).toBe(200);
});

const LUA = { custom_fields_by_lua: { x: "return kong.request.get_path()" } };

test.each([
  ["http-log", { http_endpoint: "http://a/", ...LUA }, "Lua is not run here"],
  ["file-log", { path: "/tmp/a.log", ...LUA }, "Lua is not run here"],
  ["http-log", {}, "http_endpoint"],
  ["http-log", { http_endpoint: "ftp://a" }, "http_endpoint"],
  [
    "http-log",
    { http_endpoint: "http://u:p@a/", headers: { Authorization: "x" } },
    "only one of them",
  ],
  ["http-log", { http_endpoint: "http://a/", headers: { Host: "b" } }, "Host"],
  ["http-log", { http_endpoint: "http://a/", method: "GET" }, "method"],
  ["file-log", {}, "path"],
  ["file-log", { path: "/tmp/" }, "path"],
])("%s with %j is refused: %s", (name, config, reason) => {
  const read = readPluginConfig(name, config);
  expect(read.ok).toBe(false);
  expect(JSON.stringify(read)).toContain(reason);
});

test("an empty list of Lua fields is taken, as Kong's exports have it", () => {
  for (const custom_fields_by_lua of [{}, null])
    expect(
      readPluginConfig("file-log", {
        path: "/dev/stdout",
        custom_fields_by_lua,
      }).ok,
    ).toBe(true);
});
