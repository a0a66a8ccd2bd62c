import { createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { KeptRecord } from "../../../src/cp/audit/record.ts";
import { AuditService } from "../../../src/gen/holdfast/admin/v1/audit_service_pb.js";
import { ConfigService } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { WorkspaceService } from "../../../src/gen/holdfast/admin/v1/workspace_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { bearing, TokenFile } from "../../support/admin-callers.ts";
import {
  startAdminServer,
  transportTo,
  type AdminServer,
} from "../../support/admin-server.ts";
import { TempDir } from "../../support/temp-dir.ts";

const KEY = "the-key-of-somebody";

let stack: CloseStack;
let tokens: TokenFile;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  const dir = stack.use(await TempDir.make());
  tokens = await TokenFile.make(dir.join("tokens.yml"), {
    reader: { roles: { default: "read" } },
    writer: { roles: { default: "write" } },
    chief: { roles: { default: "admin" } },
    all: { roles: { "*": "admin" } },
  });
  server = await startAdminServer(stack, { tokenFile: tokens.file });
});
afterEach(() => stack.close());

const transportOf = (caller?: string) =>
  transportTo(
    server.url,
    "grpc",
    bearing(caller === undefined ? undefined : tokens.tokenOf(caller)),
  );
const configOf = (caller?: string) =>
  createClient(ConfigService, transportOf(caller));
const auditOf = (caller: string) =>
  createClient(AuditService, transportOf(caller));
const records = async (): Promise<readonly KeptRecord[]> =>
  (
    await server.trail.list({
      before: undefined,
      limit: 1000,
      matches: () => true,
    })
  ).records;
const consumer = (username: string) => ({
  resource: { kind: { case: "consumer", value: { username } } } as const,
});
const byName = (kind: string, value: string) => ({
  kind,
  by: { case: "name", value } as const,
});

test("says who changed what, from where, with what result", async () => {
  await configOf("writer").put(consumer("ann"));
  await configOf("writer").transact({
    operations: [
      { operation: { case: "put", value: consumer("bob").resource } },
      { operation: { case: "put", value: consumer("cyn").resource } },
    ],
  });
  await configOf("writer")
    .delete({ kind: "service", by: { case: "name", value: "nothing" } })
    .catch(() => undefined);
  expect(await records()).toMatchObject([
    {
      method: "holdfast.admin.v1.ConfigService/Delete",
      resources: [{ kind: "service", name: "nothing", action: "" }],
      result: "not_found",
      revision: 0,
    },
    {
      method: "holdfast.admin.v1.ConfigService/Transact",
      resources: [
        { name: "bob", action: "create" },
        { name: "cyn", action: "create" },
      ],
      dryRun: false,
      result: "ok",
      revision: 2,
    },
    {
      caller: "writer",
      from: "127.0.0.1",
      workspace: "default",
      resources: [{ kind: "consumer", name: "ann", action: "create" }],
      result: "ok",
      revision: 1,
    },
  ]);
});

test("has no secrets, and no reading but that of secrets", async () => {
  const writer = configOf("writer");
  await writer.put(consumer("ann"));
  const keyauth = { consumer: { name: "ann" }, key: KEY };
  const put = {
    resource: { kind: { case: "keyauthCredential", value: keyauth } },
  } as const;
  await writer.put(put);
  await writer.put(put).catch(() => undefined);
  await writer
    .delete({ kind: "keyauth_credential", by: { case: "name", value: KEY } })
    .catch(() => undefined);
  await writer.list({ kind: "keyauth_credential" });
  const before = (await records()).length;
  await writer.list({ kind: "keyauth_credential", includeSecrets: true });
  const all = await records();
  expect(all).toHaveLength(before + 1);
  expect(all[0]).toMatchObject({
    method: "holdfast.admin.v1.ConfigService/List",
    result: "ok",
  });
  expect(JSON.stringify(all)).not.toContain(KEY);
});

test("has nothing of what stands where no secret belongs", async () => {
  const writer = configOf("writer");
  const id = "0b2f1a54-6c5e-4d0e-9b1a-3f1f0c2d4e5f";
  const certificate = { id: KEY, cert: "x", key: "y" };
  for (const call of [
    () => writer.delete(byName(KEY, KEY)),
    () => writer.delete(byName("jwt_secret", KEY)),
    () => writer.delete(byName("certificate", KEY)),
    () => writer.delete({ kind: "service", by: { case: "id", value: KEY } }),
    () =>
      writer.put({
        resource: { kind: { case: "certificate", value: certificate } },
      }),
    () => writer.delete({ kind: "service", by: { case: "id", value: id } }),
  ])
    await expect(call()).rejects.toThrow();
  const all = await records();
  expect(all.map(({ resources }) => resources[0])).toMatchObject([
    { kind: "service", id, name: "" },
    { kind: "certificate" },
    { kind: "service", id: "", name: "" },
    { kind: "certificate" },
    { kind: "jwt_secret" },
    { kind: "", id: "", name: "" },
  ]);
  expect(JSON.stringify(all)).not.toContain(KEY);
});

test("counts refused calls that are too many, so that they push nothing out", async () => {
  await configOf("writer").put(consumer("ann"));
  for (let i = 0; i < 30; i++) {
    await configOf()
      .put(consumer("x"))
      .catch(() => undefined);
    await configOf("reader")
      .put(consumer("x"))
      .catch(() => undefined);
  }
  const all = await records();
  expect(all).toHaveLength(41);
  expect(all.at(-1)).toMatchObject({ caller: "writer" });
  expect(all.filter(({ caller }) => caller === "reader")).toHaveLength(20);
  expect(all[0]?.result).toMatch(/denied|auth/);
});

test("what a reader may try leaves nothing, so that it pushes nothing out", async () => {
  const name = "n".repeat(200);
  const operations = Array.from({ length: 30 }, () => ({
    operation: { case: "delete", value: byName("service", name) } as const,
  }));
  const trial = { operations, dryRun: true };
  for (let i = 0; i < 5; i++)
    await expect(configOf("reader").transact(trial)).rejects.toThrow();
  await configOf("writer").put({ ...consumer("ann"), dryRun: true });
  expect(await records()).toEqual([]);
  await configOf("writer").put({
    ...consumer("ann"),
    dryRun: true,
    includeSecrets: true,
  });
  expect(await records()).toMatchObject([
    { caller: "writer", dryRun: true, result: "ok", revision: 0 },
  ]);
});

test("a record is small as JSON too, whatever a name has", async () => {
  const unprintable = "\u0001\u2028".repeat(5_000);
  await configOf("writer")
    .delete(byName("service", unprintable))
    .catch(() => undefined);
  const [record] = await records();
  expect(record?.resources).toMatchObject([{ kind: "service" }]);
  expect(record?.resources[0]?.name).toBe(`${"?".repeat(128)}…`);
});

test("is listed for admins: of a workspace, or of all for those who are that everywhere", async () => {
  await configOf("writer").put(consumer("ann"));
  await configOf("reader")
    .put(consumer("x"))
    .catch(() => undefined);
  await configOf()
    .put(consumer("x"))
    .catch(() => undefined);
  const own = await auditOf("chief").listAuditRecords({});
  expect(own.records.map(({ caller, result }) => [caller, result])).toEqual([
    ["reader", "permission_denied"],
    ["writer", "ok"],
  ]);
  const page = await auditOf("chief").listAuditRecords({ pageSize: 1 });
  const rest = await auditOf("chief").listAuditRecords({
    pageToken: page.nextPageToken,
    method: "ConfigService/Put",
  });
  expect(rest.records).toMatchObject([{ caller: "writer", revision: 1n }]);
  await expect(
    auditOf("chief").listAuditRecords({ allWorkspaces: true }),
  ).rejects.toThrow(/all workspaces/);
  const all = await auditOf("all").listAuditRecords({ allWorkspaces: true });
  expect(all.records.map(({ result }) => result)).toEqual([
    // The admin of one workspace who asked for all.
    "permission_denied",
    "unauthenticated",
    "permission_denied",
    "ok",
  ]);
  await expect(auditOf("writer").listAuditRecords({})).rejects.toThrow(
    /role admin/,
  );
});

test("a copy is found under both of its workspaces, also one that was refused", async () => {
  const copy = (caller: string) =>
    createClient(WorkspaceService, transportOf(caller))
      .copyWorkspace({ workspace: "default", to: "other" })
      .catch((error: unknown) => String(error));
  expect(await copy("writer")).toMatch(
    /to: "writer" has no role in workspace "other", and CopyWorkspace needs admin there/,
  );
  await copy("all");
  for (const workspace of ["default", "other"]) {
    const { records: found } = await auditOf("all").listAuditRecords({
      workspace,
      method: "CopyWorkspace",
    });
    expect(found.map(({ caller }) => caller)).toEqual(["all", "writer"]);
  }
  expect(
    (await auditOf("all").listAuditRecords({ workspace: "third" })).records,
  ).toEqual([]);
});

test("a change that cannot be written down is not made", async () => {
  await server.trail[Symbol.asyncDispose]();
  await expect(configOf("writer").put(consumer("ann"))).rejects.toThrow(
    /audit log cannot be written/,
  );
  expect(server.catalog.head.cursor.revision).toBe(0n);
  // Reading is possible nevertheless.
  await configOf("writer").list({ kind: "consumer", includeSecrets: true });
});
