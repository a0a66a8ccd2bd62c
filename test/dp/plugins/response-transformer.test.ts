import { gzipSync, gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { readPluginConfig } from "../../../src/model/plugins.ts";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway, type Asked } from "../../support/gateway.ts";
import { Upstream } from "../../support/upstream.ts";

interface Sent {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
}

async function answerOf(
  config: object,
  sent: Sent,
  options = {},
): Promise<Asked> {
  await using upstream = await Upstream.start((_request, response) => {
    response.writeHead(sent.status ?? 200, sent.headers);
    response.end(sent.body);
  });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "response-transformer", config),
  ]);
  return await gateway.ask("/api", options);
}

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };
const EVERYTHING = {
  remove: { json: ["gone"] },
  rename: { json: ["old:new"] },
  replace: { json: ["new:2", "absent:1"], json_types: ["number"] },
  add: { json: ["ok:true", "text:true"], json_types: ["boolean", "string"] },
  append: { json: ["list:x", "one:y"] },
};
const BEFORE = { gone: 1, old: 1, list: ["a"], one: "z" };
const AFTER = {
  new: 2,
  ok: true,
  text: "true",
  list: ["a", "x"],
  one: ["z", "y"],
};

test("headers are removed, renamed, replaced, added and appended to, in this order", async () => {
  const { headers } = await answerOf(
    {
      remove: { headers: ["server", "x-many:b"] },
      rename: { headers: ["x-old:X-New", "x-missing:X-None"] },
      replace: { headers: ["x-new:replaced", "x-absent:no"] },
      add: { headers: ["X-New:not again", "X-Added: max-age=1; mode=block"] },
      append: { headers: ["X-Added:two"] },
    },
    { headers: { "x-old": "1", "x-many": ["a", "b"], server: "s" } },
  );
  expect(headers).toMatchObject({
    "x-new": "replaced",
    "x-added": "max-age=1; mode=block, two",
    "x-many": "a",
  });
  for (const name of ["server", "x-old", "x-none", "x-absent"])
    expect(headers).not.toHaveProperty(name);
});

test("fields of JSON are changed with types, and the length is right", async () => {
  const answer = await answerOf(EVERYTHING, {
    headers: JSON_TYPE,
    body: JSON.stringify(BEFORE),
  });
  expect(answer.json()).toEqual(AFTER);
  expect(answer.headers["content-length"]).toBe(
    String(Buffer.byteLength(answer.text)),
  );
});

test("JSON that is compressed is changed too", async () => {
  await using upstream = await Upstream.start((_request, response) => {
    response.writeHead(200, { ...JSON_TYPE, "content-encoding": "gzip" });
    response.end(gzipSync(JSON.stringify(BEFORE)));
  });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "response-transformer", EVERYTHING),
  ]);
  const answer = await fetch(`http://127.0.0.1:${gateway.port}/api`);
  expect(answer.headers.get("content-encoding")).toBe("gzip");
  expect(await answer.json()).toEqual(AFTER);
  expect(gunzipSync(gzipSync("x")).toString()).toBe("x");
});

test.each([
  ["of another type", { "content-type": "text/html" }, '{"gone":1}'],
  ["that is no JSON after all", JSON_TYPE, "{nope"],
  ["that is a list", JSON_TYPE, '[{"gone":1}]'],
])("a body %s passes as it is", async (_what, headers, body) => {
  const answer = await answerOf(EVERYTHING, { headers, body });
  expect(answer.text).toBe(body);
});

test.each([
  ["too large", JSON_TYPE, `{"gone":"${"x".repeat(9_000_000)}"}`],
  [
    "in a coding that is not undone",
    { ...JSON_TYPE, "content-encoding": "br" },
    "whatever",
  ],
])(
  "JSON that is %s does not pass with what was to be removed",
  async (_what, headers, body) => {
    const answer = await answerOf(
      { remove: { json: ["gone"] } },
      {
        headers,
        body,
      },
    );
    expect(answer.status).toBe(502);
    expect(answer.text).not.toContain("gone");
  },
);

test("answers of the gateway's own are transformed as well", async () => {
  await using gateway = await TestGateway.start([
    ...api(1),
    routePlugin(3, "response-transformer", {
      add: { headers: ["X-Added:1"], json: ["extra:1"] },
    }),
    routePlugin(4, "key-auth"),
  ]);
  const answer = await gateway.ask("/api");
  expect(answer.status).toBe(401);
  expect(answer.headers["x-added"]).toBe("1");
  expect(answer.json()).toMatchObject({
    message: "No API key found in request",
    extra: "1",
  });
});

test("the answer to HEAD has the headers and waits for no body", async () => {
  const answer = await answerOf(
    { ...EVERYTHING, add: { headers: ["X-Added:1"] } },
    { headers: { ...JSON_TYPE, "content-length": "100" } },
    { method: "HEAD" },
  );
  expect(answer).toMatchObject({ status: 200, text: "" });
  expect(answer.headers["x-added"]).toBe("1");
});

test.each([
  [{ add: { json: ["a:x"], json_types: ["number"] } }, "config.add.json[0]"],
  [{ add: { json_types: ["number"] } }, "config.add.json_types"],
  [{ add: { headers: ["no-value"] } }, "config.add.headers[0]"],
  [
    { add: { json: ["a:1"], json_types: ["date"] } },
    "config.add.json_types[0]",
  ],
])("%j is refused", (config, field) => {
  expect(readPluginConfig("response-transformer", config)).toMatchObject({
    ok: false,
    violations: [{ field }],
  });
});
