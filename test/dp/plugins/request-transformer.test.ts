import { expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { readPluginConfig } from "../../../src/model/plugins.ts";
import { api, routePlugin, type ApiFields } from "../../support/api.ts";
import {
  TestGateway,
  type Asked,
  type AskOptions,
} from "../../support/gateway.ts";
import { Upstream } from "../../support/upstream.ts";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An upstream that answers with the whole request. */
function bodyEcho(): Promise<Upstream> {
  return Upstream.start((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      const body = Buffer.concat(chunks).toString("utf8");
      response.end(JSON.stringify({ method, url, headers, body }));
    });
  });
}

async function answerTo(
  config: object,
  path: string,
  options: AskOptions = {},
  fields: ApiFields = {},
  more: readonly Resource[] = [],
): Promise<Asked> {
  await using upstream = await bodyEcho();
  await using gateway = await TestGateway.start([
    ...api(upstream.port, fields),
    routePlugin(3, "request-transformer", config),
    ...more,
  ]);
  return await gateway.ask(path, options);
}

async function seen(...args: Parameters<typeof answerTo>): Promise<Seen> {
  const answer = await answerTo(...args);
  expect(answer.status).toBe(200);
  return answer.json<Seen>();
}

test("headers are removed, renamed, replaced, added and appended to, in this order", async () => {
  const { headers } = await seen(
    {
      remove: { headers: ["x-gone"] },
      rename: { headers: ["x-old:x-new", "x-missing:x-none"] },
      replace: { headers: ["x-new:replaced", "x-absent:no"] },
      add: { headers: ["x-new:not again", "x-added: one"] },
      append: { headers: ["x-added:two"] },
    },
    "/api",
    { headers: { "x-gone": "1", "x-old": "2" } },
  );
  expect(headers).toMatchObject({ "x-new": "replaced", "x-added": "one, two" });
  for (const name of ["x-gone", "x-old", "x-none", "x-absent"])
    expect(headers).not.toHaveProperty(name);
});

test("the Host header can be replaced, but not removed or added; headers that frame the message cannot be touched", async () => {
  const { headers, body } = await seen(
    {
      remove: { headers: ["host", "content-length"] },
      replace: { headers: ["Host:inside.example", "Content-Length:1"] },
      add: { headers: ["Transfer-Encoding:chunked"] },
    },
    "/api",
    { method: "POST", body: "hello" },
  );
  expect(headers).toMatchObject({
    host: "inside.example",
    "content-length": "5",
  });
  expect(headers).not.toHaveProperty("transfer-encoding");
  expect(body).toBe("hello");
});

test("arguments are changed in the same order, and those that are not named stay as they were sent", async () => {
  const { url } = await seen(
    {
      remove: { querystring: ["gone"] },
      rename: { querystring: ["old:new"] },
      replace: { querystring: ["new:r&d", "absent:1"] },
      add: { querystring: ["added:1", "kept:no"] },
      append: { querystring: ["kept:3"] },
    },
    "/api?kept=a%2Fb&gone=1&old=2&flag",
  );
  expect(url).toBe("/?kept=a%2Fb&new=r%26d&flag&added=1&kept=3");
});

test.each([
  [
    "JSON",
    "application/json; charset=utf-8",
    JSON.stringify({ gone: 1, old: { a: 1 }, list: ["x"], kept: null }),
    JSON.stringify({ list: ["x", "y"], kept: null, new: "r", added: "v" }),
  ],
  [
    "a form",
    "application/x-www-form-urlencoded",
    "gone=1&old=2&list=x",
    "new=r&list=x&added=v&list=y",
  ],
])("fields of %s are changed in the same order", async (_, type, body, out) => {
  const { body: sent, headers } = await seen(
    {
      remove: { body: ["gone"] },
      rename: { body: ["old:new"] },
      replace: { body: ["new:r", "absent:1"] },
      add: { body: ["added:v"] },
      append: { body: ["list:y"] },
    },
    "/api",
    { method: "POST", body, headers: { "content-type": type } },
  );
  expect(sent).toBe(out);
  expect(headers["content-length"]).toBe(String(Buffer.byteLength(out)));
});

test.each([
  ["of another type", "text/plain", "a=1"],
  ["that is no JSON after all", "application/json", "{nope"],
  ["that is a list", "application/json", "[1]"],
])("a body %s stays as it is", async (_what, type, body) => {
  const sent = await seen({ add: { body: ["a:b"] } }, "/api", {
    method: "POST",
    body,
    headers: { "content-type": type },
  });
  expect(sent.body).toBe(body);
});

test("a body that is too large to be transformed is not let through as it is", async () => {
  const answer = await answerTo({ remove: { body: ["secret"] } }, "/api", {
    method: "POST",
    body: JSON.stringify({ secret: "x".repeat(9_000_000) }),
    headers: { "content-type": "application/json" },
  });
  expect(answer.status).toBe(413);
});

test("another method goes upstream; with one that has no body, the fields of a form go into the query", async () => {
  expect(
    await seen({ http_method: "put" }, "/api", { method: "POST", body: "x" }),
  ).toMatchObject({ method: "PUT", body: "x" });
  const form = { "content-type": "application/x-www-form-urlencoded" };
  expect(
    await seen({ http_method: "GET" }, "/api?a=1", {
      method: "POST",
      body: "b=2&c=3",
      headers: form,
    }),
  ).toMatchObject({ method: "GET", url: "/?a=1&b=2&c=3" });
});

test.each([
  ["/users/$(uri_captures.user)/$(uri_captures[2])", "/users/ann/7"],
  ['/h/$(headers["x-team"])/$(headers.x_team)', "/h/blue/blue"],
  ["/q/$(query_params.page)", "/q/a%20b"],
  ['/$(headers.none or query_params.none or "none")', "/none"],
  ["/$(shared.who.name)$(headers.none)", "/"],
])("the path can be replaced: %s", async (uri, path) => {
  const { url } = await seen(
    { replace: { uri } },
    "/api/ann/7?page=a+b",
    { headers: { "x-team": "blue" } },
    {
      route: { paths: ["~/api/(?<user>[a-z]+)/([0-9]+)"] },
      service: { path: "/base" },
    },
  );
  expect(url).toBe(`${path}?page=a+b`);
});

test("templates see the request as it was, and what plugins before told the upstream", async () => {
  const { headers } = await seen(
    {
      remove: { headers: ["x-a"] },
      add: {
        headers: ["x-b:was $(headers.x-a)", "x-host:$(headers.host)"],
        querystring: ["who:$(headers.x-forwarded-host)"],
      },
    },
    "/api",
    { headers: { "x-a": "1", host: "api.example" } },
  );
  expect(headers).toMatchObject({ "x-b": "was 1", "x-host": "api.example" });
});

test("what a client sends cannot end a header or a path", async () => {
  const { headers, url } = await seen(
    {
      add: { headers: ["x-q:$(query_params.q)"] },
      replace: { uri: "/p/$(query_params.q)" },
    },
    "/api?q=a%0d%0aX-Evil%3A1%3Fx%23y%20z",
  );
  expect(headers).not.toHaveProperty("x-evil");
  expect(headers["x-q"]).toBe("aX-Evil:1?x#y z");
  expect(url).toBe(
    "/p/a%0D%0AX-Evil:1%3Fx%23y%20z?q=a%0d%0aX-Evil%3A1%3Fx%23y%20z",
  );
});

test("a path that does not begin with a slash is an error, not a request somewhere else", async () => {
  const answer = await answerTo(
    { replace: { uri: "$(headers.none)" } },
    "/api",
  );
  expect(answer.status).toBe(500);
});

test.each([
  ["$((function() return 1 end)())"],
  ["$(os.getenv('HOME'))"],
  ["$(headers.x .. 'y')"],
  ["$(headers)"],
  ["$(headers.x"],
])("%s is refused: templates are no Lua", (template) => {
  const read = readPluginConfig("request-transformer", {
    add: { headers: [`x:${template}`] },
  });
  expect(read).toMatchObject({
    ok: false,
    violations: [
      {
        field: "config.add.headers[0]",
        reason: expect.stringContaining("Lua") as unknown,
      },
    ],
  });
});

test.each([
  [{ add: { headers: ["no-value"] } }, "config.add.headers[0]"],
  [{ http_method: "FETCH" }, "config.http_method"],
  [{ replace: { path: "/x" } }, "config.replace.path"],
])("%j is refused", (config, field) => {
  expect(readPluginConfig("request-transformer", config)).toMatchObject({
    ok: false,
    violations: [{ field }],
  });
});

const FORM = { "content-type": "application/x-www-form-urlencoded" };

test("a form that becomes a query has escaped what a query cannot have", async () => {
  const { method, url } = await seen({ http_method: "GET" }, "/api?q=1", {
    method: "POST",
    headers: FORM,
    body: "a=b c&d=1 HTTP/1.1\r\nX-Evil: 1&e=\u00e9#f%2",
  });
  expect([method, url]).toEqual([
    "GET",
    "/?q=1&a=b%20c&d=1%20HTTP/1.1%0D%0AX-Evil:%201&e=%C3%A9%23f%2",
  ]);
});

test("a form of very many arguments is refused: to take it apart would hold everybody else up", async () => {
  const ask = (count: number, config: object): Promise<Asked> =>
    answerTo(config, "/api", {
      method: "POST",
      headers: FORM,
      body: "a&".repeat(count),
    });
  const adds = { add: { body: ["x:y"] } };
  expect((await ask(10_000, adds)).status).toBe(200);
  for (const config of [adds, { http_method: "GET" }]) {
    const answer = await ask(10_001, config);
    expect([answer.status, answer.json()["message"]]).toEqual([
      413,
      "Request body has too many arguments to be transformed: at most 10000",
    ]);
  }
});
