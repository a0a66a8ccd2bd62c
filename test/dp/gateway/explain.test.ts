import { describe, expect, test } from "vitest";
import type { ExplainQuestion } from "../../../src/dp/gateway/explain/question.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

interface Explanation {
  readonly revision: string;
  readonly outcome: Readonly<Record<string, unknown>>;
  readonly route: { readonly name: string; readonly met: string[] } | null;
  readonly plugins: readonly {
    readonly name: string;
    readonly scope: string;
  }[];
  readonly service: { readonly name: string } | null;
  readonly target: {
    readonly address: string | null;
    readonly why: string;
    readonly path: string;
    readonly candidates: readonly { readonly state: string }[];
  } | null;
  readonly considered: readonly {
    readonly name: string;
    readonly lacks: readonly string[];
    readonly behind?: string;
  }[];
}

async function explain(
  gateway: TestGateway,
  question: Partial<ExplainQuestion>,
): Promise<Explanation> {
  const explained = await gateway.gateway.explain({
    method: "GET",
    url: "http://shop.example/api/x?q=1",
    headers: [],
    ...question,
  });
  if (!explained.ok) throw new Error(explained.reason);
  return explained.explanation as unknown as Explanation;
}

function route(number: number, name: string, fields: object): Resource {
  return resource("route", {
    id: id(number),
    name,
    service: { id: id(1) },
    ...fields,
  });
}

describe("an explanation", () => {
  test("names the route, what it met, its plugins in order with their scope, and where it goes", async () => {
    await using gateway = await TestGateway.start([
      ...api(9000, {
        service: { path: "/base" },
        route: { hosts: ["*.example"] },
      }),
      routePlugin(10, "cors"),
      resource("plugin", { id: id(11), name: "correlation-id" }),
      resource("plugin", {
        id: id(12),
        name: "key-auth",
        service: { id: id(1) },
      }),
    ]);
    const told = await explain(gateway, {});
    expect(told).toMatchObject({
      revision: "1",
      outcome: { by: "upstream" },
      route: {
        name: "route",
        met: [
          "host shop.example is among *.example",
          "path /api/x begins with /api",
        ],
      },
      plugins: [
        { name: "correlation-id", scope: "global" },
        { name: "cors", scope: "route" },
        { name: "key-auth", scope: "service" },
      ],
      service: { name: "service" },
      target: { address: "127.0.0.1:9000", path: "/base/x?q=1" },
      considered: [],
    });
  });

  test("says what a request lacks for the routes that come near, the nearest first", async () => {
    await using gateway = await TestGateway.start([
      ...api(9000, { route: { paths: ["/other"] } }),
      route(3, "posts", { paths: ["/api"], methods: ["POST", "PUT"] }),
      route(4, "versioned", {
        paths: ["/api"],
        headers: { "x-version": { values: ["2"] } },
        methods: ["POST"],
      }),
      route(5, "elsewhere", { hosts: ["a.b"], paths: ["~/api/\\d+"] }),
    ]);
    const told = await explain(gateway, { headers: [["X-Version", "1"]] });
    expect(told).toMatchObject({
      outcome: { by: "gateway", status: 404 },
      route: null,
      target: null,
    });
    expect(told.considered).toMatchObject([
      { name: "posts", lacks: ["method: GET, not POST or PUT"] },
      {
        name: "versioned",
        lacks: ["method: GET, not POST", "header x-version: 1, not 2"],
      },
    ]);
  });

  test.each([
    [
      { hosts: ["shop.example"] },
      { paths: ["/api"] },
      "a host counts for more",
    ],
    [
      { paths: ["/api"], methods: ["GET"] },
      { paths: ["/api/x"] },
      "asks for more",
    ],
    [{ paths: ["/api/x"] }, { paths: ["/api"] }, "longest path is longer"],
    [{ paths: ["~/api"] }, { paths: ["/api/x"] }, "has an expression"],
    [
      { paths: ["~/api"], regexPriority: 2 },
      { paths: ["~/api/x"], regexPriority: 1 },
      "regex_priority is higher",
    ],
    [{ paths: ["/api"] }, { paths: ["/api"] }, "id comes first"],
  ])("says why %j goes before %j", async (first, other, why) => {
    await using gateway = await TestGateway.start([
      ...api(9000, { route: { paths: ["/unmet"], methods: ["PUT"] } }),
      route(3, "first", first),
      route(4, "other", other),
    ]);
    const told = await explain(gateway, {});
    expect(told.route?.name).toBe("first");
    expect(told.considered).toMatchObject([
      {
        name: "other",
        lacks: [],
        behind: expect.stringContaining(why) as string,
      },
    ]);
  });

  test("sends nothing and leaves the balancer where it is", async () => {
    await using a = await Upstream.start((_request, response) =>
      response.end("a"),
    );
    await using b = await Upstream.start((_request, response) =>
      response.end("b"),
    );
    await using gateway = await TestGateway.start([
      ...api(1, { service: { host: "pool", port: 80 } }),
      resource("upstream", { id: id(3), name: "pool" }),
      ...[a, b].map(({ port }, i) =>
        resource("target", {
          id: id(4 + i),
          upstream: { id: id(3) },
          target: `127.0.0.1:${port}`,
        }),
      ),
    ]);
    const seen: string[] = [];
    for (let i = 0; i < 4; i++) {
      const before = (a.connections, b.connections);
      const told = await explain(gateway, {});
      expect(await explain(gateway, {})).toEqual(told);
      expect((a.connections, b.connections)).toBe(before);
      const { text } = await gateway.ask("/api");
      expect(told.target?.address).toBe(
        `127.0.0.1:${text === "a" ? a.port : b.port}`,
      );
      seen.push(text);
    }
    expect(new Set(seen)).toEqual(new Set(["a", "b"]));
    expect(told(await explain(gateway, {}))).toEqual(["healthy", "healthy"]);
  });

  test("hashes as requests are hashed", async () => {
    await using gateway = await TestGateway.start([
      ...api(1, { service: { host: "pool", port: 80 } }),
      resource("upstream", {
        id: id(3),
        name: "pool",
        algorithm: "consistent-hashing",
        hashOn: "header",
        hashOnHeader: "X-User",
      }),
      ...[1, 2, 3].map((port) =>
        resource("target", {
          id: id(3 + port),
          upstream: { id: id(3) },
          target: `127.0.0.1:${port}`,
        }),
      ),
    ]);
    const of = async (user: string): Promise<string> => {
      const { target } = await explain(gateway, {
        headers: [["X-User", user]],
      });
      expect(target?.why).toContain(`the one that "${user}" belongs to`);
      return target?.address ?? "";
    };
    expect(await of("ada")).toBe(await of("ada"));
    const users = Array.from({ length: 20 }, (_, i) => `user${i}`);
    expect(new Set(await Promise.all(users.map(of))).size).toBe(3);
    expect((await explain(gateway, {})).target).toMatchObject({
      address: null,
      why: expect.stringContaining("by chance") as string,
    });
  });

  test("tells https from http, and what is no request", async () => {
    await using gateway = await TestGateway.start(
      api(9000, { route: { protocols: ["https"] } }),
    );
    expect((await explain(gateway, {})).outcome).toMatchObject({
      by: "gateway",
      status: 426,
    });
    const secure = await explain(gateway, { url: "https://shop.example/api" });
    expect(secure.outcome).toMatchObject({ by: "upstream" });
    for (const question of [
      { url: "gopher://a/" },
      { url: "" },
      { method: "GE T" },
    ])
      await expect(explain(gateway, question)).rejects.toThrow(/is n/);
  });
});

function told({ target }: Explanation): string[] {
  return target?.candidates.map(({ state }) => state) ?? [];
}
