import { createClient } from "@connectrpc/connect";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import * as http2 from "node:http2";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NodeService } from "../../../src/gen/holdfast/admin/v1/node_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { bearing, type TokenFile } from "../../support/admin-callers.ts";
import { transportTo, type AdminServer } from "../../support/admin-server.ts";
import {
  codeOf,
  startGuardedServer,
  type GuardedServer,
} from "../../support/guarded-server.ts";
import { RawConnection } from "../../support/raw-http.ts";
import type { RecordingLogger } from "../../support/recording-logger.ts";
import type { TempDir } from "../../support/temp-dir.ts";

const CONFIG = "/holdfast.admin.v1.ConfigService";

let stack: CloseStack;
let dir: TempDir;
let tokens: TokenFile;
let server: AdminServer;
let logger: RecordingLogger;
let bearer: GuardedServer["bearer"];
let configOf: GuardedServer["configOf"];
beforeEach(async () => {
  stack = new CloseStack();
  ({ server, dir, tokens, logger, bearer, configOf } =
    await startGuardedServer(stack));
});
afterEach(() => stack.close());

describe("a call without a token", () => {
  test("is refused before any of its body is there", async () => {
    const raw = await RawConnection.open(server.address);
    await raw.write(
      `POST ${CONFIG}/Put HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n`,
    );
    expect(await raw.until(/unauthenticated/)).toMatch(/^HTTP\/1\.1 401 /);
    expect(raw.received).toMatch(/www-authenticate: Bearer/i);
    raw.socket.destroy();
  });

  test("is refused as Connect GET, with the message in the URL, and reads nothing", async () => {
    const query = `?connect=v1&encoding=json&message=${encodeURIComponent('{"kind":"service"}')}`;
    const get = (headers: Record<string, string>) =>
      fetch(`${server.url}${CONFIG}/List${query}`, { headers });
    const refused = await get({});
    expect(refused.status).toBe(401);
    expect(await refused.text()).not.toContain("resources");
    expect((await get(bearer("guest"))).status).toBe(403);
    expect((await get(bearer("reader"))).status).toBe(200);
  });

  test.each([
    `/${CONFIG}/List`,
    `${CONFIG}/List/`,
    `${CONFIG}//List`,
    `${CONFIG}/./List`,
    `/x/..${CONFIG}/List`,
    `${CONFIG}/%4cist`,
    `${CONFIG}%2FList`,
    `${CONFIG}/List;a=b`,
    `${CONFIG}/list`,
    `${CONFIG}/List#x`,
    `http://127.0.0.1${CONFIG}/List`,
    `${CONFIG}\\List`,
    "/status/live/../../metrics",
    "/status/live/..%2f..%2fmetrics",
    "//metrics",
    "/metrics?/status/live",
    "/status/live;/../metrics",
    "/status",
    "/status/config",
    "/metrics",
  ])("gets nothing by the path %s", async (target) => {
    const raw = await RawConnection.open(server.address);
    const body = "{}";
    const method = target.includes("Service") ? "POST" : "GET";
    await raw.write(
      `${method} ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${method === "GET" ? 0 : body.length}\r\n\r\n${method === "GET" ? "" : body}`,
    );
    const answer = await raw.until(/^HTTP\/1\.1 \d+ /);
    expect(answer).toMatch(/^HTTP\/1\.1 40[0-9] /);
    raw.socket.destroy();
  });

  test("is refused by a second authorization header no less", async () => {
    const raw = await RawConnection.open(server.address);
    const good = bearer("reader").authorization;
    await raw.write(
      `POST ${CONFIG}/List HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\nauthorization: ${good}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    );
    expect(await raw.until(/^HTTP\/1\.1 \d+ /)).toMatch(/^HTTP\/1\.1 401 /);
    raw.socket.destroy();
  });

  test.each([
    ["Basic", (token: string) => `Basic ${btoa(`x:${token}`)}`],
    ["no scheme", (token: string) => token],
    ["a short one", (token: string) => `Bearer ${token.slice(0, -1)}`],
    ["a long one", (token: string) => `Bearer ${token}A`],
    ["two", (token: string) => `Bearer ${token} ${token}`],
    ["another case", (token: string) => `Bearer ${token.toUpperCase()}`],
    ["quotes", (token: string) => `Bearer "${token}"`],
  ])("is refused with %s", async (_, header) => {
    const answer = await fetch(`${server.url}${CONFIG}/List`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: header(tokens.tokenOf("reader")),
      },
      body: '{"kind":"service"}',
    });
    expect(answer.status).toBe(401);
  });

  test("is refused on each stream of a connection whose first one had a token", async () => {
    const session = http2.connect(server.url);
    const ask = async (headers: http2.OutgoingHttpHeaders) => {
      const stream = session.request({
        ":method": "POST",
        ":path": `${CONFIG}/List`,
        "content-type": "application/json",
        ...headers,
      });
      stream.end('{"kind":"service"}');
      const [answer] = (await once(stream, "response")) as [
        http2.IncomingHttpHeaders,
      ];
      stream.resume();
      return answer[":status"];
    };
    expect(await ask(bearer("reader"))).toBe(200);
    expect(await ask({})).toBe(401);
    session.close();
  });
});

test("status pages are for readers of everything; those for probes are for anybody", async () => {
  const status = async (page: string, caller?: string) =>
    (
      await fetch(server.url + page, {
        headers: caller === undefined ? {} : bearer(caller),
      })
    ).status;
  for (const page of ["/status/live", "/status/ready"])
    expect(await status(page)).toBe(200);
  for (const page of ["/status", "/status/config", "/metrics"]) {
    expect(await status(page)).toBe(401);
    expect(await status(page, "reader")).toBe(403);
    expect(await status(page, "chief")).toBe(200);
  }
});

describe("a token that is not valid any more", () => {
  test.each(["grpc", "connect-1.1"] as const)(
    "ends what is open, by %s",
    async (protocol) => {
      const watch = configOf("reader", protocol).watch({});
      const stream = watch[Symbol.asyncIterator]();
      await stream.next();
      const second = configOf("chief", protocol).watch({});
      const others = second[Symbol.asyncIterator]();
      await others.next();
      await tokens.write({ chief: { roles: { "*": "admin" } } });
      await server.access.reload();
      expect(await codeOf(stream.next())).toBe("Unauthenticated");
      expect(await codeOf(configOf("reader").list({ kind: "service" }))).toBe(
        "Unauthenticated",
      );
      // Whoever may still call is not disturbed.
      await configOf("chief").put({
        resource: { kind: { case: "consumer", value: { username: "u" } } },
      });
      expect((await others.next()).done).toBe(false);
      await others.return?.();
    },
  );

  test("ends what is open when only its role is another one", async () => {
    const nodes = createClient(
      NodeService,
      transportTo(server.url, "grpc", bearing(tokens.tokenOf("reader"))),
    );
    server.nodes.serve("n1", 0n);
    const stream = nodes.watchNodes({})[Symbol.asyncIterator]();
    await stream.next();
    await tokens.write({ reader: { roles: { elsewhere: "admin" } } });
    await server.access.reload();
    expect(await codeOf(stream.next())).toBe("PermissionDenied");
  });

  test("does not finish an upload that was begun with it", async () => {
    let sent = (): void => {};
    const first = new Promise<void>((resolve) => (sent = resolve));
    let go = (): void => {};
    const revoked = new Promise<void>((resolve) => (go = resolve));
    async function* parts() {
      yield { data: new Uint8Array(0) };
      sent();
      await revoked;
      yield { data: new Uint8Array(0) };
    }
    const upload = codeOf(configOf("writer").transactStream(parts()));
    await first;
    await tokens.write({ writer: { roles: { default: "read" } } });
    await server.access.reload();
    go();
    expect(await upload).toBe("PermissionDenied");
  });

  test("stays valid, loudly, while the file cannot be read", async () => {
    await writeFile(tokens.file, "tokens: [{name: x, sha256: hf_y}]");
    await server.access.reload();
    expect(logger.events).toContain("admin.tokens_reload_failed");
    expect(await codeOf(configOf("reader").list({ kind: "service" }))).toBe(
      "Ok",
    );
  });
});

test("the author of a change is its caller when it names none", async () => {
  await configOf("writer").put({
    resource: { kind: { case: "consumer", value: { username: "u" } } },
  });
  const { revisions } = await configOf("reader").listRevisions({});
  expect(revisions[0]?.author).toBe("writer");
});

test("no token is in the log, in the audit log, or in what a refused caller is told", async () => {
  const presented = [
    tokens.tokenOf("reader"),
    tokens.tokenOf("guest"),
    `hf_${"A".repeat(43)}`,
    "hunter2-is-no-token",
  ];
  const said: string[] = [];
  for (const token of presented)
    for (const type of ["application/json", "application/grpc-web+proto"]) {
      const answer = await fetch(`${server.url}${CONFIG}/Put`, {
        method: "POST",
        headers: { "content-type": type, authorization: `Bearer ${token}` },
        body: "{}",
      });
      said.push(
        await answer.text(),
        JSON.stringify([...answer.headers.entries()]),
      );
    }
  const directory = dir.join("audit");
  for (const file of await readdir(directory))
    said.push(await readFile(path.join(directory, file), "utf8"));
  said.push(JSON.stringify(logger.lines, bigint));
  expect(said.join("\n")).toContain("permission_denied");
  for (const token of presented) {
    expect(said.join("\n")).not.toContain(token);
    expect(said.join("\n")).not.toContain(token.slice(3));
  }
});

function bigint(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
