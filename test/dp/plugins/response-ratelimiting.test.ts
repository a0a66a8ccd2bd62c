import { describe, expect, test } from "vitest";
import { readUse } from "../../../src/dp/plugins/response-ratelimiting/header-use.ts";
import type { Asked } from "../../support/gateway.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";

const NOW = Date.UTC(2030, 1, 3, 4, 10, 20);

/** A gateway whose upstream uses what the request's X-Use says. */
async function withLimits(
  config: object,
  use: (plane: PluginGateway, clock: ManualClock) => Promise<void>,
  header = "X-Kong-Limit",
): Promise<void> {
  const clock = new ManualClock(NOW);
  await using plane = await PluginGateway.start(
    { "response-ratelimiting": config },
    {
      gateway: { clock },
      upstream: (request, response) => {
        const { "x-use": used } = request.headers;
        if (used !== undefined) response.setHeader(header, used);
        response.setHeader("x-seen", JSON.stringify(request.headers));
        response.end("the upstream's body");
      },
    },
  );
  await use(plane, clock);
}

const using = (used: string) => ({ headers: { "x-use": used } });

/** What the client is told. */
function told({ headers }: Asked): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.includes("limit")),
  );
}

/** What the upstream was told. */
function seen({ headers }: Asked): Record<string, unknown> {
  const all = JSON.parse(String(headers["x-seen"])) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(all).filter(([name]) => name.includes("limit")),
  );
}

test.each<[header: string, use: Record<string, number>]>([
  ["videos=1", { videos: 1 }],
  [" videos = 2 , images=3,other=4", { videos: 2, images: 3 }],
  ["videos", {}],
  ["videos=x, images=-1", {}],
  ["videos=0", {}],
  ["videos=1=2", {}],
  ["videos=2.9", { videos: 2 }],
  ["videos=1e999", {}],
])("the header %j says that was used: %j", (header, use) => {
  const names = new Set(["videos", "images"]);
  expect(Object.fromEntries(readUse([header], names))).toEqual(use);
});

describe("response-ratelimiting", () => {
  const limits = { videos: { minute: 3 }, images: { minute: 5, hour: 6 } };

  test("counts what answers say they used, and tells both sides what is left", () =>
    withLimits({ limits }, async (plane) => {
      const first = await plane.ask("/api", using("videos=1, images=2"));
      expect(first.status).toBe(200);
      expect(first.text).toBe("the upstream's body");
      expect(told(first)).toEqual({
        "x-ratelimit-limit-videos-minute": "3",
        "x-ratelimit-remaining-videos-minute": "2",
        "x-ratelimit-limit-images-minute": "5",
        "x-ratelimit-remaining-images-minute": "3",
        "x-ratelimit-limit-images-hour": "6",
        "x-ratelimit-remaining-images-hour": "4",
      });
      expect(seen(first)).toEqual({
        "x-ratelimit-remaining-videos": "3",
        "x-ratelimit-remaining-images": "5",
      });
      expect(seen(await plane.ask("/api"))).toEqual({
        "x-ratelimit-remaining-videos": "2",
        "x-ratelimit-remaining-images": "3",
      });
    }));

  test("refuses an answer that uses what is used up, without its body, and begins anew with the next window", () =>
    withLimits({ limits }, async (plane, clock) => {
      await plane.ask("/api", using("videos=5"));
      const refused = await plane.ask("/api", using("videos=1"));
      expect(refused.status).toBe(429);
      expect(refused.text).toBe("");
      expect(refused.headers["content-length"]).toBe("0");
      expect(told(refused)["x-ratelimit-remaining-videos-minute"]).toBe("0");
      // Something else may still be used.
      expect((await plane.ask("/api", using("images=1"))).status).toBe(200);
      clock.advance(40_000);
      expect((await plane.ask("/api", using("videos=1"))).status).toBe(200);
    }));

  test.each([
    ["consumer", 200],
    ["credential", 200],
    ["ip", 429],
  ])(
    "counts by %s as it is told to: another consumer at the same address gets %i",
    async (limit_by, status) => {
      await using plane = await PluginGateway.start(
        {
          "response-ratelimiting": { limits, limit_by },
          "key-auth": {},
        },
        {
          resources: ["ann", "bob"].flatMap((name, i) => [
            resource("consumer", { id: id(20 + i), username: name }),
            resource("keyauthCredential", {
              id: id(30 + i),
              consumer: { id: id(20 + i) },
              key: name,
            }),
          ]),
          upstream: (_request, response) => {
            response.setHeader("x-kong-limit", "videos=3");
            response.end();
          },
        },
      );
      const as = (apikey: string) => plane.ask("/api", { headers: { apikey } });
      expect((await as("ann")).status).toBe(200);
      expect((await as("ann")).status).toBe(429);
      expect((await as("bob")).status).toBe(status);
    },
  );

  test("refuses requests before they go upstream when it is to block at the first violation", () =>
    withLimits({ limits, block_on_first_violation: true }, async (plane) => {
      await plane.ask("/api", using("videos=3"));
      const refused = await plane.ask("/api");
      expect(refused.status).toBe(429);
      expect(refused.json()["message"]).toBe(
        "API rate limit exceeded for 'videos'",
      );
      expect(refused.headers).not.toHaveProperty("x-seen");
    }));

  test("reads another header, and tells clients nothing when it must not", () =>
    withLimits(
      { limits, header_name: "X-Used", hide_client_headers: true },
      async (plane) => {
        const answer = await plane.ask("/api", using("videos=1"));
        expect(told(answer)).toEqual({});
        expect(answer.headers).not.toHaveProperty("x-used");
        expect(seen(await plane.ask("/api"))).toMatchObject({
          "x-ratelimit-remaining-videos": "2",
        });
      },
      "X-Used",
    ));
});
