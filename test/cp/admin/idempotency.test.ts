import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { putting } from "../../support/admin-client.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { resource } from "../../support/resources.ts";

const stack = new CloseStack();
const clock = new ManualClock();
let server: AdminServer;
beforeAll(async () => {
  server = await startAdminServer(stack, { clock });
});
afterAll(() => stack.close());

const revision = (): bigint => server.catalog.head.cursor.revision;
const by = (value: string) => ({ case: "name", value }) as const;

async function refused(call: Promise<unknown>): Promise<string> {
  const error = ConnectError.from(
    await call.then(
      () => "done",
      (e: unknown) => e,
    ),
  );
  return `${Code[error.code]}: ${error.rawMessage}`;
}

describe("an idempotency key", () => {
  test("makes a repeated call of any write answer what the first one did, and change nothing", async () => {
    const { config } = server;
    const service = (name: string, host = "a.internal") =>
      resource("service", { name, host });
    const calls: Record<
      string,
      (host: string) => Promise<{ revision: bigint; changes: unknown }>
    > = {
      put: (host) =>
        config.put({ resource: service("p", host), idempotencyKey: "put" }),
      transact: (host) =>
        config.transact({
          operations: [putting(service("t", host))],
          idempotencyKey: "transact",
        }),
      apply: (host) =>
        config.apply({
          files: [
            {
              name: "kong.yml",
              content: `{_format_version: "3.0", services: [{name: f, host: ${host}}]}`,
            },
          ],
          idempotencyKey: "apply",
        }),
      rollback: (host) =>
        config.rollback({
          revision: 1n,
          message: host,
          idempotencyKey: "rollback",
        }),
      delete: (host) =>
        config.delete({
          kind: "service",
          by: by("p"),
          message: host,
          idempotencyKey: "delete",
        }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const before = revision();
      const first = await call("a.internal");
      expect(revision(), name).toBe(before + 1n);
      const second = await call("a.internal");
      expect([second.revision, second.changes], name).toEqual([
        first.revision,
        first.changes,
      ]);
      expect(await refused(call("b.internal")), name).toMatch(
        new RegExp(
          `^InvalidArgument: idempotency_key: "${name}" was used for another request`,
        ),
      );
      expect(revision(), name).toBe(before + 1n);
    }
    // What was put then is deleted by now.
    const again = await calls["put"]?.("a.internal");
    expect(again).toMatchObject({ revision: 1n });
    expect(again).not.toHaveProperty("resource.kind.value");
  });

  test("is of one request, whatever order its maps come in", async () => {
    const put = (headers: Record<string, { values: string[] }>) =>
      fetch(`${server.url}/holdfast.admin.v1.ConfigService/Put`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          idempotency_key: "maps",
          resource: { route: { name: "m", paths: ["/m"], headers } },
        }),
      });
    const a = { values: ["1"] };
    const b = { values: ["2"] };
    expect((await put({ "x-a": a, "x-b": b })).status).toBe(200);
    expect((await put({ "x-b": b, "x-a": a })).status).toBe(200);
    expect((await put({ "x-b": a, "x-a": a })).status).toBe(400);
  });

  test("is free again after 24 hours", async () => {
    const put = (host: string) =>
      server.config.put({
        resource: resource("service", { name: "daily", host }),
        idempotencyKey: "daily",
      });
    await put("a");
    clock.advance(24 * 3_600_000 - 1);
    expect(await refused(put("b"))).toContain("another request");
    clock.advance(2);
    await put("b");
  });

  test("remembers nothing of a dry run, nor of what was refused", async () => {
    const put = (host: string, dryRun: boolean) =>
      server.config.put({
        resource: resource("service", { name: "tried", host }),
        idempotencyKey: "tried",
        dryRun,
      });
    await put("a.internal", true);
    expect(await refused(put("not a host", false))).toContain("host");
    const before = revision();
    await put("b.internal", false);
    expect(revision()).toBe(before + 1n);
  });
});
