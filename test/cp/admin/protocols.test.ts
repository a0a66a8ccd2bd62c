import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BadRequestSchema } from "../../../src/gen/google/rpc/error_details_pb.js";
import {
  DryRunPlanSchema,
  TransactRequestSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  each,
  PROTOCOLS,
  startAdminServer,
  take,
  type AdminServer,
} from "../../support/admin-server.ts";

let stack: CloseStack;
let server: AdminServer;
beforeAll(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterAll(() => stack.close());
vi.setConfig({ testTimeout: 30_000 });

const service = (name: string) => ({
  kind: { case: "service" as const, value: { name, host: "127.0.0.1" } },
});

describe.each(PROTOCOLS)("by %s", (protocol) => {
  test("a resource is put, read, listed and deleted", async () => {
    const { config } = server.clients(protocol);
    const name = `crud-${protocol}`;
    const put = await config.put({ resource: service(name) });
    expect(put.changes).toMatchObject([
      { kind: "service", name, action: "create" },
    ]);
    expect(put.revision).toBe(server.catalog.head.cursor.revision);
    const { value } = put.resource!.kind;
    expect(value).toMatchObject({ name, port: 80, protocol: "http" });
    expect(value!.createdAt).toBeGreaterThan(0);

    const got = await config.get({
      kind: "services",
      by: { case: "name", value: name },
    });
    expect(got.resource).toEqual(put.resource);
    const listed = await config.list({ kind: "service" });
    expect(listed.resources).toContainEqual(put.resource);
    const gone = await config.delete({
      kind: "service",
      by: { case: "id", value: value!.id },
    });
    expect(gone.revision).toBe(put.revision + 1n);
    await expect(
      config.get({ kind: "service", by: { case: "name", value: name } }),
    ).rejects.toThrow(
      `[not_found] service "${name}": there is no service with this name`,
    );
  });

  test("everything that is wrong with a transaction is told at once", async () => {
    const { config } = server.clients(protocol);
    const error = await config
      .transact({
        operations: [
          {
            operation: {
              case: "put",
              value: {
                kind: {
                  case: "route",
                  value: { name: "x", paths: ["no-slash"] },
                },
              },
            },
          },
          {
            operation: {
              case: "put",
              value: {
                kind: { case: "service", value: { name: "y", port: 99999 } },
              },
            },
          },
        ],
      })
      .then(
        () => undefined,
        (e: unknown) => ConnectError.from(e),
      );
    expect(error?.code).toBe(Code.InvalidArgument);
    const [details] = error!.findDetails(BadRequestSchema);
    const fields = details!.fieldViolations.map(({ field }) => field);
    expect(fields).toContain('route "x": paths[0]');
    expect(fields).toContain('service "y": port');
    expect(fields).toContain('service "y": host');
    expect(error!.rawMessage).toMatch(/^route "x": paths\[0\]: /);
  });

  test("a dry run that would be refused tells what it would do, beside its error or instead of it", async () => {
    const { config } = server.clients(protocol);
    const name = `dry-${protocol}`;
    await config.put({ resource: service(name) });
    const put = (value: object) => ({
      operation: {
        case: "put" as const,
        value: {
          kind: { case: "service" as const, value: { name, ...value } },
        },
      },
    });
    const request = {
      operations: [
        put({ host: "other.example" }),
        put({ name: `${name}-new`, host: "a b", port: 99999 }),
      ],
      dryRun: true,
    };
    const error = await config.transact(request).then(
      () => undefined,
      (e: unknown) => ConnectError.from(e),
    );
    expect(error?.code).toBe(Code.InvalidArgument);
    const [details] = error!.findDetails(BadRequestSchema);
    expect(details!.fieldViolations).toHaveLength(2);
    const [plan] = error!.findDetails(DryRunPlanSchema);
    expect(plan).toMatchObject({ changeCount: 2, warningCount: 0 });
    expect(plan!.changes.map((change) => change.name).sort()).toEqual([
      name,
      `${name}-new`,
    ]);

    const answer = await config.transact({
      ...request,
      includeViolations: true,
    });
    expect(answer.violations.map(({ field }) => field).sort()).toEqual([
      "host",
      "port",
    ]);
    expect(answer.changes).toContainEqual(
      expect.objectContaining({
        name,
        action: "update",
        fieldCount: 1,
        fields: [
          expect.objectContaining({
            path: "host",
            before: '"127.0.0.1"',
            after: '"other.example"',
          }),
        ],
      }),
    );
    await expect(
      config.transact({ ...request, dryRun: false, includeViolations: true }),
    ).rejects.toThrow("include_violations: is for dry runs");
    await config.delete({ kind: "service", by: { case: "name", value: name } });
  });

  test("a stream is read while revisions come, and ended by its client", async () => {
    const { config } = server.clients(protocol);
    const { revision } = server.catalog.head.cursor;
    const events: string[] = [];
    await each(
      (options) => config.watch({}, options),
      async ({ event }) => {
        if (event.case === "heartbeat") {
          expect(event.value.revision).toBe(revision);
          await server.config.put({ resource: service("w") });
        } else if (event.case === "revision")
          events.push(event.value.changes[0]!.change!.action);
        return events.length === 1;
      },
    );
    expect(events).toEqual(["create"]);
    await server.config.delete({
      kind: "service",
      by: { case: "name", value: "w" },
    });
  });

  test("a request comes in parts", async () => {
    const { config } = server.clients(protocol);
    const bytes = toBinary(
      TransactRequestSchema,
      create(TransactRequestSchema, {
        operations: Array.from({ length: 50 }, (_, i) => ({
          operation: { case: "put" as const, value: service(`part-${i}`) },
        })),
        author: "me",
        dryRun: true,
      }),
    );
    const answer = await config.transactStream(
      (async function* () {
        for (let at = 0; at < bytes.length; at += 100)
          yield { data: bytes.subarray(at, at + 100) };
      })(),
    );
    expect(answer.changes).toHaveLength(50);
  });

  test("a deadline ends a wait", async () => {
    const { config } = server.clients(protocol);
    await expect(
      take(() => config.watch({}, { timeoutMs: 100 }), 2),
    ).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });

  test("the nodes are listed", async () => {
    const { nodes } = server.clients(protocol);
    server.nodes.set({ id: "one", labels: { zone: "a" } });
    const listed = await nodes.listNodes({ workspace: "default" });
    expect(listed.nodes).toMatchObject([{ id: "one", labels: { zone: "a" } }]);
  });
});
