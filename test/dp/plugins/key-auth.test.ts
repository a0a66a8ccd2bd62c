import { describe, expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { readBodyKeys } from "../../../src/dp/plugins/key-auth/body-keys.ts";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway, type AskOptions } from "../../support/gateway.ts";
import { RawConnection } from "../../support/raw-http.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

interface Seen {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An upstream that answers with what it was asked, body and all. */
function mirror(): Promise<Upstream> {
  return Upstream.start((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () =>
      response.end(
        JSON.stringify({ url: request.url, headers: request.headers, body }),
      ),
    );
  });
}

const people: readonly Resource[] = [
  resource("consumer", { id: id(20), username: "ann", customId: "a-1" }),
  resource("keyauthCredential", {
    id: id(21),
    consumer: { id: id(20) },
    key: "anns-key",
  }),
  resource("consumer", { id: id(22), username: "nobody" }),
  resource("consumer", { id: id(23), username: "Zoë 東" }),
  resource("keyauthCredential", {
    id: id(24),
    consumer: { id: id(23) },
    key: "zoes",
  }),
];

async function withKeyAuth(
  config: object,
  use: (gateway: TestGateway) => Promise<void>,
): Promise<void> {
  await using upstream = await mirror();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    ...people,
    routePlugin(3, "key-auth", config),
  ]);
  await use(gateway);
}

describe("key-auth refuses", () => {
  test.each<
    [
      what: string,
      config: object,
      path: string,
      options: AskOptions,
      message: string,
    ]
  >([
    ["a request without a key", {}, "/api", {}, "No API key found in request"],
    [
      "an empty key",
      {},
      "/api",
      { headers: { apikey: "" } },
      "No API key found in request",
    ],
    [
      "a wrong key",
      {},
      "/api",
      { headers: { apikey: "wrong" } },
      "Unauthorized",
    ],
    [
      "two keys",
      {},
      "/api?apikey=anns-key&apikey=anns-key",
      {},
      "Duplicate API key found",
    ],
    [
      "two keys in headers",
      {},
      "/api",
      { headers: { apikey: ["anns-key", "x"] } },
      "Duplicate API key found",
    ],
    [
      "a key in the header when that is off",
      { key_in_header: false },
      "/api",
      { headers: { apikey: "anns-key" } },
      "No API key found in request",
    ],
    [
      "a key in the query when that is off",
      { key_in_query: false },
      "/api?apikey=anns-key",
      {},
      "No API key found in request",
    ],
    [
      "a key under another name",
      { key_names: ["token"] },
      "/api",
      { headers: { apikey: "anns-key" } },
      "No API key found in request",
    ],
    [
      "a preflight without a key",
      {},
      "/api",
      { method: "OPTIONS" },
      "No API key found in request",
    ],
    [
      "a key in a body that is not looked at",
      {},
      "/api",
      {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: "apikey=anns-key",
      },
      "No API key found in request",
    ],
  ])("%s", async (_what, config, path, options, message) => {
    await withKeyAuth(config, async (gateway) => {
      const answer = await gateway.ask(path, options);
      expect(answer.status).toBe(401);
      expect(answer.headers["www-authenticate"]).toBe("Key");
      expect(answer.json()).toEqual({
        message,
        request_id: answer.headers["x-holdfast-request-id"],
      });
    });
  });

  test("with the realm", async () => {
    await withKeyAuth({ realm: 'the "shop"' }, async (gateway) => {
      expect((await gateway.ask("/api")).headers["www-authenticate"]).toBe(
        'Key realm="the \\"shop\\""',
      );
    });
  });
});

describe("key-auth accepts a key", () => {
  const form = "application/x-www-form-urlencoded";
  const multipart = [
    "--b",
    'Content-Disposition: form-data; name="apikey"',
    "",
    "anns-key",
    "--b",
    'Content-Disposition: form-data; name="f"; filename="x"',
    "",
    "file",
    "--b--",
    "",
  ].join("\r\n");
  const inBody = { key_in_body: true, hide_credentials: true };
  const post = (type: string, body: string): AskOptions => ({
    method: "POST",
    headers: { "content-type": type },
    body,
  });

  test.each<
    [
      what: string,
      config: object,
      path: string,
      options: AskOptions,
      url: string,
      body: string,
    ]
  >([
    [
      "in a header",
      {},
      "/api/x?y=1",
      { headers: { ApiKey: "anns-key" } },
      "/x?y=1",
      "",
    ],
    [
      "in the query",
      {},
      "/api?a=%20&apikey=anns-key&b",
      {},
      "/?a=%20&apikey=anns-key&b",
      "",
    ],
    [
      "in the query, hidden",
      { hide_credentials: true },
      "/api?a=%20&apikey=anns-key&b",
      {},
      "/?a=%20&b",
      "",
    ],
    [
      "alone in the query, hidden",
      { hide_credentials: true },
      "/api?apikey=anns-key",
      {},
      "/",
      "",
    ],
    [
      "under the second name",
      { key_names: ["x", "token"] },
      "/api?token=anns-key",
      {},
      "/?token=anns-key",
      "",
    ],
    [
      "in a form",
      { key_in_body: true },
      "/api",
      post(form, "a=1&apikey=anns-key"),
      "/",
      "a=1&apikey=anns-key",
    ],
    [
      "in a form, hidden",
      inBody,
      "/api",
      post(`${form}; charset=utf-8`, "a=%C3%A9&apikey=anns-key&b="),
      "/",
      "a=%C3%A9&b=",
    ],
    [
      "in JSON",
      { key_in_body: true },
      "/api",
      post("application/json", '{"apikey":"anns-key"}'),
      "/",
      '{"apikey":"anns-key"}',
    ],
    [
      "in JSON, hidden",
      inBody,
      "/api",
      post("application/json", '{"a":"é","apikey":"anns-key"}'),
      "/",
      '{"a":"é"}',
    ],
    [
      "in a multipart form",
      { key_in_body: true },
      "/api",
      post("multipart/form-data; boundary=b", multipart),
      "/",
      multipart,
    ],
    [
      "in a multipart form, hidden",
      inBody,
      "/api",
      post('multipart/form-data; boundary="b"', multipart),
      "/",
      [
        "--b",
        'Content-Disposition: form-data; name="f"; filename="x"',
        "",
        "file",
        "--b--",
        "",
      ].join("\r\n"),
    ],
  ])("%s", async (_what, config, path, options, url, body) => {
    await withKeyAuth(config, async (gateway) => {
      const answer = await gateway.ask(path, options);
      expect(answer.status).toBe(200);
      const seen = answer.json<Seen>();
      expect([seen.url, seen.body]).toEqual([url, body]);
      expect(seen.headers).toMatchObject({
        "x-consumer-id": id(20),
        "x-consumer-username": "ann",
        "x-consumer-custom-id": "a-1",
        "x-credential-identifier": id(21),
      });
      expect(seen.headers).not.toHaveProperty("x-anonymous-consumer");
    });
  });

  test("in a header, hidden there and in the query", async () => {
    await withKeyAuth({ hide_credentials: true }, async (gateway) => {
      const seen = (
        await gateway.ask("/api?apikey=anns-key", {
          headers: { apikey: "anns-key" },
        })
      ).json<Seen>();
      expect(seen.headers).not.toHaveProperty("apikey");
      expect(seen.url).toBe("/");
    });
  });

  test("of a consumer whose name is in another script, in UTF-8", async () => {
    await withKeyAuth({}, async (gateway) => {
      const seen = (
        await gateway.ask("/api", { headers: { apikey: "zoes" } })
      ).json<Seen>();
      expect(
        Buffer.from(
          seen.headers["x-consumer-username"] ?? "",
          "latin1",
        ).toString("utf8"),
      ).toBe("Zoë 東");
      expect(seen.headers).not.toHaveProperty("x-consumer-custom-id");
    });
  });
});

describe("a body that is looked at for a key", () => {
  test("and is too long goes on whole to whoever it was meant for", async () => {
    await withKeyAuth(
      { key_in_body: true, anonymous: "nobody" },
      async (gateway) => {
        const body = `apikey=x&pad=${"p".repeat(3_000_000)}`;
        const answer = await gateway.ask("/api", {
          method: "POST",
          headers: {
            "content-type": "application/x-www-form-urlencoded",
            "transfer-encoding": "chunked",
          },
          body,
        });
        const seen = answer.json<Seen>();
        expect(seen.body).toBe(body);
        expect(seen.headers["x-anonymous-consumer"]).toBe("true");
      },
    );
  });

  test("and never arrives does not hang the client that waits for leave to send it", async () => {
    await withKeyAuth({ key_in_body: true }, async (gateway) => {
      const raw = await RawConnection.open(gateway.host);
      await raw.write(
        "POST /api HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 21\r\nConnection: close\r\n\r\n",
      );
      await raw.until(/100 Continue\r\n\r\n/);
      await raw.write('{"apikey":"anns-key"}');
      expect(await raw.closed()).toMatch(/HTTP\/1\.1 200 /);
    });
  });
});

describe("an anonymous consumer", () => {
  test.each(["nobody", id(22)])(
    "named %s gets what has no valid key",
    async (anonymous) => {
      await withKeyAuth({ anonymous }, async (gateway) => {
        for (const headers of [{}, { apikey: "wrong" }] as Record<
          string,
          string
        >[]) {
          const seen = (await gateway.ask("/api", { headers })).json<Seen>();
          expect(seen.headers).toMatchObject({
            "x-consumer-username": "nobody",
            "x-anonymous-consumer": "true",
          });
          expect(seen.headers).not.toHaveProperty("x-credential-identifier");
        }
        const known = (
          await gateway.ask("/api", { headers: { apikey: "anns-key" } })
        ).json<Seen>();
        expect(known.headers["x-consumer-username"]).toBe("ann");
      });
    },
  );

  test("that does not exist is our mistake, and nobody passes", async () => {
    await withKeyAuth({ anonymous: "gone" }, async (gateway) => {
      const answer = await gateway.ask("/api");
      expect(answer.status).toBe(500);
      expect(answer.json()["message"]).toContain("gone");
    });
  });
});

test("a preflight passes without a key when it may", async () => {
  await withKeyAuth({ run_on_preflight: false }, async (gateway) => {
    expect((await gateway.ask("/api", { method: "OPTIONS" })).status).toBe(200);
    expect((await gateway.ask("/api")).status).toBe(401);
  });
});

test("a body in which a key was looked for in vain is there for a plugin that takes larger ones", async () => {
  await using upstream = await mirror();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    ...people,
    routePlugin(3, "key-auth", { key_names: ["a", "b"], key_in_body: true }),
    routePlugin(4, "request-transformer", { add: { body: ["x:y"] } }),
  ]);
  for (const chunked of [false, true]) {
    const body = `z=${"z".repeat(2 * 1024 * 1024)}`;
    const answer = await gateway.ask("/api", {
      method: "POST",
      headers: {
        b: "anns-key",
        "content-type": "application/x-www-form-urlencoded",
        ...(chunked
          ? { "transfer-encoding": "chunked" }
          : { "content-length": String(body.length) }),
      },
      body,
    });
    expect(answer.status).toBe(200);
    expect(answer.json<Seen>().body === `${body}&x=y`).toBe(true);
  }
});

test("in a body of very many parts no key is looked for: it would hold everybody else up", () => {
  const form = "application/x-www-form-urlencoded";
  const parts = "multipart/form-data; boundary=b";
  const read = (type: string, text: string): boolean =>
    readBodyKeys(type, Buffer.from(text)) !== undefined;
  expect([
    read(form, "a&".repeat(1_000)),
    read(form, "a&".repeat(1_001)),
    read(parts, "--b\r\n".repeat(1_000)),
    read(parts, "--b\r\n".repeat(1_001)),
  ]).toEqual([true, false, true, false]);
});
