import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { explainPage } from "../../src/dp/explain-page.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { formatHostPort } from "../../src/runtime/host-port.ts";
import { HttpListener } from "../../src/runtime/http-listener.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { statusOnly } from "../../src/runtime/status.ts";
import { api, routePlugin } from "../support/api.ts";
import { runCli } from "../support/cli.ts";
import { TestGateway } from "../support/gateway.ts";
import { id, resource } from "../support/resources.ts";

let gateway: TestGateway;
let listener: HttpListener;
let status: string;

beforeAll(async () => {
  gateway = await TestGateway.start([
    ...api(9000, { route: { hosts: ["shop.example"] } }),
    resource("route", {
      id: id(3),
      name: "posts",
      paths: ["/api"],
      methods: ["POST"],
      service: { id: id(1) },
    }),
    routePlugin(7, "cors"),
    resource("consumer", { id: id(20), username: "alice" }),
    resource("consumerGroup", { id: id(21), name: "gold" }),
    resource("consumerGroupConsumer", {
      id: id(22),
      consumer: { id: id(20) },
      consumerGroup: { id: id(21) },
    }),
    resource("plugin", {
      id: id(23),
      name: "rate-limiting",
      config: { minute: 1 },
    }),
    resource("plugin", {
      id: id(24),
      name: "rate-limiting",
      config: { minute: 2 },
      consumerGroup: { id: id(21) },
    }),
  ]);
  listener = await HttpListener.listen(
    { host: "127.0.0.1", port: 0 },
    statusOnly(explainPage((question) => gateway.gateway.explain(question))),
    { clock: systemClock, logger: silentLogger },
  );
  status = formatHostPort(listener.address);
});

afterAll(async () => {
  await listener[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
});

describe("dp explain", () => {
  test("shows route, plugins and target to people", async () => {
    const { code, stdout } = await runCli([
      ...["dp", "explain", "get", "http://shop.example/api/x"],
      ...["--status", status],
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^revision {2}1\noutcome {3}goes upstream/);
    expect(stdout).toContain(`route     route (${id(2)})\n`);
    expect(stdout).toContain(
      "          host shop.example is among shop.example",
    );
    expect(stdout).toContain("target    127.0.0.1:9000\n");
    expect(stdout).toMatch(/PLUGIN +SCOPE.*\ncors +route /);
    expect(stdout).toMatch(/posts \(.*\) +method: GET, not POST\n/);
  });

  test("takes headers, a path alone, and prints JSON for programs", async () => {
    const { code, stdout } = await runCli([
      ...["dp", "explain", "GET", "/api", "-H", "Host: shop.example"],
      ...["--status", `http://${status}`, "-o", "json"],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      route: { name: "route" },
      request: { host: "shop.example", path: "/api" },
    });
  });

  test("shows the plugins that a consumer and its groups get", async () => {
    const argv = [
      ...["dp", "explain", "GET", "http://shop.example/api"],
      ...["--status", status],
    ];
    expect((await runCli(argv)).stdout).toMatch(
      new RegExp(`rate-limiting +global .*${id(23)}`),
    );
    for (const who of ["alice", id(20)]) {
      const { code, stdout } = await runCli([...argv, "--consumer", who]);
      expect(code).toBe(0);
      expect(stdout).toContain(
        `consumer  alice (${id(20)})\n          in gold\n`,
      );
      expect(stdout).toMatch(
        new RegExp(`rate-limiting +consumer group gold .*${id(24)}`),
      );
      expect(stdout).not.toContain(id(23));
    }
    const nobody = await runCli([...argv, "--consumer", "bob"]);
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toContain(
      'there is no consumer "bob" in revision 1: give a username or an id',
    );
    const url = encodeURIComponent("http://shop.example/api");
    const answer = await fetch(
      `http://${status}/status/explain?url=${url}&consumer=alice`,
    );
    expect(await answer.json()).toMatchObject({
      consumer: { name: "alice", groups: [{ name: "gold" }] },
    });
  });

  test("says what is wrong with the question, or that nobody is there", async () => {
    const wrong = await runCli([
      ...["dp", "explain", "GET", "gopher://x", "--status", status],
    ]);
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      `holdfast dp explain: the data plane at http://${status} answered 400: "gopher://x" is neither a URL of http or https nor a path\n`,
    ]);
    const header = await runCli(["dp", "explain", "GET", "/", "-H", "nothing"]);
    expect([header.code, header.stderr]).toEqual([
      2,
      expect.stringContaining('--header "nothing" is no header') as string,
    ]);
    const nobody = await runCli([
      ...["dp", "explain", "GET", "/", "--status", "127.0.0.1:1"],
    ]);
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toContain("no answer from a data plane at");
  });

  test("leaves dp itself as it was, and has help of its own", async () => {
    const dp = await runCli(["dp", "explaim"]);
    expect(dp.code).toBe(2);
    const help = await runCli(["help", "dp", "explain"]);
    expect(help.stdout).toContain("Usage: holdfast dp explain METHOD URL");
    const same = await runCli(["dp", "explain", "--help"]);
    expect(same.stdout).toBe(help.stdout);
  });
});

describe("/status/explain", () => {
  test("can be asked with a query", async () => {
    const url = encodeURIComponent("/api");
    const answer = await fetch(
      `http://${status}/status/explain?method=POST&url=${url}&header=Host:%20a.b`,
    );
    expect(await answer.json()).toMatchObject({ route: { name: "posts" } });
  });

  test.each([
    ["GET", "", undefined, 400],
    ["POST", "", "{", 400],
    ["POST", "", '{"method":"GET","url":"/","headers":[],"consumer":1}', 400],
    ["POST", "", '{"method":"GET"}', 400],
    ["POST", "", '{"method":"GET","url":"/","headers":[["a"]]}', 400],
    ["POST", "", `"${"x".repeat(300_000)}"`, 400],
    ["DELETE", "", undefined, 405],
  ])("refuses %s%s with %s", async (method, query, body, expected) => {
    const answer = await fetch(`http://${status}/status/explain${query}`, {
      method,
      ...(body === undefined ? {} : { body }),
    });
    expect(answer.status).toBe(expected);
    expect(await answer.json()).toHaveProperty("message");
  });
});
