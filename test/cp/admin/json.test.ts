import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";

let stack: CloseStack;
let server: AdminServer;
beforeAll(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterAll(() => stack.close());

interface Answer {
  readonly status: number;
  readonly body: {
    readonly code?: string;
    readonly message?: string;
    readonly details?: readonly {
      readonly type: string;
      readonly debug: {
        readonly field_violations: readonly {
          readonly field: string;
          readonly description: string;
        }[];
      };
    }[];
  } & Record<string, unknown>;
}

async function post(
  method: string,
  body: unknown,
  init: RequestInit = {},
): Promise<Answer> {
  const response = await fetch(
    `${server.url}/holdfast.admin.v1.ConfigService/${method}`,
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
    },
  );
  return {
    status: response.status,
    body: (await response.json()) as Answer["body"],
  };
}

function fieldsOf({ body }: Answer): string[] {
  return (body.details ?? []).flatMap(({ type, debug }) => {
    expect(type).toBe("google.rpc.BadRequest");
    return debug.field_violations.map(({ field }) => field);
  });
}

describe("plain JSON", () => {
  test("has the names of the .proto files in answers, and takes both spellings", async () => {
    const put = await post("Put", {
      resource: {
        route: { name: "r", paths: ["/r"], stripPath: false, hosts: [] },
      },
    });
    expect(put.status).toBe(200);
    expect(put.body["resource"]).toMatchObject({
      route: { name: "r", strip_path: false },
    });
    const again = await post("Put", {
      resource: { route: { name: "r", paths: ["/r"], strip_path: true } },
    });
    expect(again.body["changes"]).toMatchObject([{ action: "update" }]);
  });

  test("is read by GET where nothing is changed", async () => {
    await post("Put", { resource: { service: { name: "g", host: "h" } } });
    const message = encodeURIComponent('{"kind":"service","name":"g"}');
    const response = await fetch(
      `${server.url}/holdfast.admin.v1.ConfigService/Get?connect=v1&encoding=json&message=${message}`,
    );
    expect(await response.json()).toMatchObject({
      resource: { service: { name: "g" } },
    });
    const put = await fetch(
      `${server.url}/holdfast.admin.v1.ConfigService/Put?connect=v1&encoding=json&message=%7B%7D`,
    );
    expect(put.status).toBe(405);
  });

  test("with typos and wrong types is refused with all of them", async () => {
    const answer = await post("Put", {
      workspac: "x",
      resource: {
        route: { name: "r", pathz: ["/"], regex_priority: "high", hosts: "h" },
      },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe("invalid_argument");
    expect(fieldsOf(answer)).toEqual([
      "workspac",
      "resource.route.pathz",
      "resource.route.regex_priority",
      "resource.route.hosts",
    ]);
    expect(answer.body.message).toMatch(
      /^workspac: unknown field, did you mean "workspace"\?; resource\.route\.pathz: unknown field/,
    );
  });

  test("that is no JSON is refused with the place", async () => {
    const answer = await post("Put", '{"resource": {');
    expect(answer.status).toBe(400);
    expect(answer.body.message).toMatch(/JSON at position|Unexpected end/);
  });

  test("compressed by its client is read", async () => {
    const answer = await post("Get", "", {
      headers: {
        "content-type": "application/json",
        "content-encoding": "gzip",
      },
      body: gzipSync('{"kind":"route","name":"r"}'),
    });
    expect(answer.body["resource"]).toMatchObject({ route: { name: "r" } });
  });

  test("names every broken rule by resource, field and index", async () => {
    const answer = await post("Put", {
      resource: { service: { name: "bad name!", port: 70000, host: "" } },
    });
    expect(answer.status).toBe(400);
    expect(fieldsOf(answer)).toEqual(
      expect.arrayContaining([
        'service "bad name!": name',
        'service "bad name!": port',
        'service "bad name!": host',
      ]),
    );
  });

  test.each([
    ["Get", { kind: "router", name: "x" }, ["kind"]],
    ["Get", { kind: "route" }, ["id"]],
    ["Get", { kind: "", name: "" }, ["kind", "name"]],
    ["List", { kind: "routes", page_size: 1001 }, ["page_size"]],
    ["Put", {}, ["resource"]],
    ["Put", { resource: {} }, ["resource"]],
    [
      "Transact",
      {
        operations: [{}, { delete: { kind: "nope" } }],
        idempotency_key: "k".repeat(129),
        author: "a".repeat(257),
      },
      [
        "operations[0].put",
        "operations[1].delete.kind",
        "operations[1].delete.id",
        "idempotency_key",
        "author",
      ],
    ],
    ["Apply", {}, ["files"]],
    ["Rollback", { revision: "999" }, ["revision"]],
    ["List", { kind: "route", page_token: "nonsense" }, ["page_token"]],
  ])("%s of %j is refused for its form", async (method, body, fields) => {
    const answer = await post(method, body);
    expect(fieldsOf(answer)).toEqual(fields);
    expect(answer.body.code).toMatch(/invalid_argument|not_found/);
  });

  test.each([
    "Put",
    "Get",
    "List",
    "Delete",
    "Transact",
    "Apply",
    "ListRevisions",
    "GetRevision",
    "Diff",
    "Rollback",
  ])("%s in a workspace that does not exist is not found", async (method) => {
    const answer = await post(method, { workspace: "other" });
    expect(answer.status).toBe(404);
    expect(answer.body.message).toBe(
      'workspace: there is no workspace "other": see "holdfast workspace list", or create it with "holdfast workspace create"',
    );
  });

  test("of an unknown kind lists the kinds", async () => {
    const answer = await post("List", { kind: "volt" });
    expect(answer.body.message).toMatch(
      /^kind: "volt" is no kind; kinds are .*service, route, upstream/,
    );
  });

  test("that calls what does not exist is told so", async () => {
    const answer = await post("Frobnicate", {});
    expect(answer).toEqual({
      status: 404,
      body: {
        code: "unimplemented",
        message:
          "service holdfast.admin.v1.ConfigService has no method Frobnicate",
      },
    });
  });
});

describe("the pages of the port", () => {
  test.each([
    ["/status", 200, { role: "cp" }],
    ["/status/live", 200, { live: true }],
    ["/status/ready", 200, { ready: true }],
    ["/status/config?pretty", 200, { entries: expect.any(Number) as number }],
  ])("%s answers", async (path, status, body) => {
    const response = await fetch(`${server.url}${path}`);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual(body);
    const head = await fetch(`${server.url}${path}`, { method: "HEAD" });
    expect(head.status).toBe(status);
    expect(await head.text()).toBe("");
  });

  test("metrics count calls by method and outcome", async () => {
    await post("Get", { kind: "nope" });
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toMatch(
      /holdfast_admin_calls_total\{rpc="holdfast\.admin\.v1\.ConfigService\/Get",code="invalid_argument"\} \d+/,
    );
    expect(text).toMatch(/holdfast_admin_call_seconds_count\{/);
  });

  test("are only read, and other paths name them", async () => {
    const put = await fetch(`${server.url}/status`, { method: "PUT" });
    expect(put.status).toBe(405);
    expect(put.headers.get("allow")).toBe("GET, HEAD");
    const other = await fetch(`${server.url}/admin`);
    expect(other.status).toBe(404);
    expect(await other.text()).toMatch(
      /nothing at \/admin; there are \/status/,
    );
  });
});

test("a mask is not blamed when its request is refused for something else", async () => {
  const host = 'service "a": host';
  const wrong = { service: { name: "a", host: "" } };
  const refused = await post("Put", { resource: wrong });
  expect(fieldsOf(refused)).toEqual([host]);
  await post("Put", {
    resource: { service: { name: "a", host: "h.example" } },
  });
  const masked = await post("Put", { resource: wrong, updateMask: "host" });
  expect([masked.status, fieldsOf(masked)]).toEqual([400, [host]]);
});

test("a mask that is none is refused with what it must be", async () => {
  const refused = await post("Put", {
    resource: { service: { nmae: "a" } },
    update_mask: "connect_timeout",
  });
  expect(fieldsOf(refused)).toEqual(["resource.service.nmae", "update_mask"]);
  expect(refused.body.message).toContain("paths in lowerCamelCase");
});
