import { describe, expect, test } from "vitest";
import { spanOf } from "../../../src/dp/plugins/limiting/windows.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import type { Window } from "../../../src/model/plugins/windows.ts";
import type { Asked, AskOptions } from "../../support/gateway.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";

/** Twenty seconds into a minute, ten minutes into an hour. */
const NOW = Date.UTC(2030, 1, 3, 4, 10, 20);

const people: readonly Resource[] = ["ann", "bob"].flatMap((username, i) => [
  resource("consumer", { id: id(20 + i), username }),
  resource("keyauthCredential", {
    id: id(30 + i),
    consumer: { id: id(20 + i) },
    key: username,
  }),
]);

interface Limited {
  readonly clock: ManualClock;
  readonly plane: PluginGateway;
}

async function withLimits(
  config: object,
  use: (limited: Limited) => Promise<void>,
  more: Readonly<Record<string, object>> = {},
): Promise<void> {
  const clock = new ManualClock(NOW);
  await using plane = await PluginGateway.start(
    { "rate-limiting": config, ...more },
    { resources: people, gateway: { clock } },
  );
  await use({ clock, plane });
}

/** The headers about limits. */
function told({ headers }: Asked): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) =>
      /ratelimit|retry-after/.test(name),
    ),
  );
}

describe("windows", () => {
  test.each<[window: Window, start: string, end: string]>([
    ["second", "2028-02-29T23:59:59.000Z", "2028-03-01T00:00:00.000Z"],
    ["minute", "2028-02-29T23:59:00.000Z", "2028-03-01T00:00:00.000Z"],
    ["hour", "2028-02-29T23:00:00.000Z", "2028-03-01T00:00:00.000Z"],
    ["day", "2028-02-29T00:00:00.000Z", "2028-03-01T00:00:00.000Z"],
    ["month", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z"],
    ["year", "2028-01-01T00:00:00.000Z", "2029-01-01T00:00:00.000Z"],
  ])("a %s begins and ends with the clock's", (window, start, end) => {
    const { startMs, endMs } = spanOf(
      window,
      Date.parse("2028-02-29T23:59:59.999Z"),
    );
    expect([startMs, endMs]).toEqual([Date.parse(start), Date.parse(end)]);
  });
});

describe("rate-limiting", () => {
  test("counts down, refuses, and begins anew with the next window", () =>
    withLimits({ minute: 2 }, async ({ clock, plane }) => {
      const first = await plane.ask("/api");
      expect(first.status).toBe(200);
      expect(told(first)).toEqual({
        "ratelimit-limit": "2",
        "ratelimit-remaining": "1",
        "ratelimit-reset": "40",
        "x-ratelimit-limit-minute": "2",
        "x-ratelimit-remaining-minute": "1",
      });
      clock.advance(10_500);
      expect(told(await plane.ask("/api"))).toMatchObject({
        "ratelimit-remaining": "0",
        "ratelimit-reset": "30",
      });
      const refused = await plane.ask("/api");
      expect(refused.status).toBe(429);
      expect(refused.json()["message"]).toBe("API rate limit exceeded");
      expect(told(refused)).toEqual({
        "ratelimit-limit": "2",
        "ratelimit-remaining": "0",
        "ratelimit-reset": "30",
        "retry-after": "30",
        "x-ratelimit-limit-minute": "2",
        "x-ratelimit-remaining-minute": "0",
      });
      clock.advance(29_500);
      expect((await plane.ask("/api")).status).toBe(200);
    }));

  test("tells the tightest of several limits, and what is refused uses up none", () =>
    withLimits({ second: 2, minute: 3, hour: 3 }, async ({ clock, plane }) => {
      await plane.ask("/api");
      expect(told(await plane.ask("/api"))).toMatchObject({
        "ratelimit-limit": "2",
        "ratelimit-remaining": "0",
        "ratelimit-reset": "1",
        "x-ratelimit-remaining-minute": "1",
      });
      const refused = await plane.ask("/api");
      expect(refused.status).toBe(429);
      expect(told(refused)).toMatchObject({
        "x-ratelimit-remaining-second": "0",
        "x-ratelimit-remaining-minute": "1",
        "retry-after": "1",
      });
      clock.advance(1_000);
      expect((await plane.ask("/api")).status).toBe(200);
      // Both are used up: it is the hour that one has to wait for.
      expect(told(await plane.ask("/api"))).toMatchObject({
        "ratelimit-limit": "3",
        "retry-after": String(3600 - 621),
      });
    }));

  test("lets exactly as many through as there may be, however many come at once", () =>
    withLimits({ hour: 20 }, async ({ plane }) => {
      const answers = await Promise.all(
        Array.from({ length: 60 }, () => plane.ask("/api")),
      );
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(20);
    }));

  test("answers as it is told to, and tells no limits when it must not", () =>
    withLimits(
      {
        minute: 1,
        hide_client_headers: true,
        error_code: 403,
        error_message: "enough",
      },
      async ({ plane }) => {
        expect(told(await plane.ask("/api"))).toEqual({});
        const refused = await plane.ask("/api");
        expect(refused.status).toBe(403);
        expect(refused.json()["message"]).toBe("enough");
        expect(told(refused)).toEqual({ "retry-after": "40" });
      },
    ));

  /** Asks for each, and says how many got through. */
  async function passing(
    plane: PluginGateway,
    requests: readonly (readonly [path: string, options?: AskOptions])[],
  ): Promise<number> {
    let passed = 0;
    for (const [path, options] of requests)
      if ((await plane.ask(path, options)).status === 200) passed++;
    return passed;
  }

  const as = (key: string): AskOptions => ({ headers: { apikey: key } });

  test.each<
    [
      what: string,
      config: object,
      requests: readonly (readonly [string, AskOptions?])[],
      passed: number,
    ]
  >([
    [
      "each consumer for itself",
      {},
      [
        ["/api", as("ann")],
        ["/api", as("bob")],
        ["/api", as("ann")],
      ],
      2,
    ],
    [
      "each credential for itself",
      { limit_by: "credential" },
      [
        ["/api", as("ann")],
        ["/api", as("bob")],
        ["/api", as("bob")],
      ],
      2,
    ],
    [
      "each address for itself",
      { limit_by: "ip" },
      [
        ["/api", as("ann")],
        ["/api", as("bob")],
      ],
      1,
    ],
    [
      "each service for itself",
      { limit_by: "service" },
      [
        ["/api", as("ann")],
        ["/api", as("bob")],
      ],
      1,
    ],
    [
      "each value of a header for itself, and those without by address",
      { limit_by: "header", header_name: "X-Tenant" },
      [
        ["/api", { headers: { apikey: "ann", "x-tenant": "a" } }],
        ["/api", { headers: { apikey: "ann", "x-tenant": "b".repeat(500) } }],
        ["/api", { headers: { apikey: "bob", "x-tenant": "a" } }],
        ["/api", as("ann")],
        ["/api", as("bob")],
      ],
      3,
    ],
    [
      "a header that is an address for itself, and not for the client that has it",
      { limit_by: "header", header_name: "X-Tenant" },
      [
        ["/api", { headers: { apikey: "ann", "x-tenant": "127.0.0.1" } }],
        ["/api", as("bob")],
      ],
      2,
    ],
    [
      "one path for itself, and all others by address",
      { limit_by: "path", path: "/api/search" },
      [
        ["/api/search", as("ann")],
        ["/api/search?again", as("ann")],
        ["/api/a", as("ann")],
        ["/api/b", as("ann")],
      ],
      2,
    ],
  ])("counts %s", (_, config, requests, passed) =>
    withLimits(
      { hour: 1, ...config },
      async ({ plane }) => {
        expect(await passing(plane, requests)).toBe(passed);
      },
      { "key-auth": {} },
    ),
  );

  test("counts without a consumer by address", () =>
    withLimits({ hour: 1 }, async ({ plane }) => {
      expect(await passing(plane, [["/api"], ["/api"]])).toBe(1);
    }));

  test("goes on counting where it was when another revision is served", () =>
    withLimits({ hour: 2 }, async ({ plane }) => {
      await plane.ask("/api");
      await plane.configure({
        "rate-limiting": { hour: 2 },
        "correlation-id": {},
      });
      await plane.ask("/api");
      expect((await plane.ask("/api")).status).toBe(429);
      // Another limit, the same count.
      await plane.configure({ "rate-limiting": { hour: 3 } });
      expect((await plane.ask("/api")).status).toBe(200);
      expect((await plane.ask("/api")).status).toBe(429);
    }));
});
