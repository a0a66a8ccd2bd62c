import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { accessTo } from "../../../src/cp/access/method-access.ts";
import {
  ApplyRequestSchema,
  ConfigService,
  TransactRequestSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import type { AdminServer } from "../../support/admin-server.ts";
import {
  codeOf,
  startGuardedServer,
  type GuardedServer,
} from "../../support/guarded-server.ts";

const SECRET = "s3cret-of-a-consumer";

let stack: CloseStack;
let server: AdminServer;
let configOf: GuardedServer["configOf"];
beforeEach(async () => {
  stack = new CloseStack();
  ({ server, configOf } = await startGuardedServer(stack));
});
afterEach(() => stack.close());

test("a reader may try a change, and not make it", async () => {
  const resource = {
    kind: { case: "consumer", value: { username: "u" } },
  } as const;
  await configOf("writer").put({ resource });
  const files = [
    { name: "kong.yml", content: "_format_version: '3.0'\nconsumers: []" },
  ];
  const operations = [deletionOf("consumer", "u")];
  const before = server.catalog.head.cursor.revision;
  const reader = configOf("reader");
  const trial = { dryRun: true, allowMassDelete: true };
  const parts = (data: Uint8Array) => one({ data });
  const calls: Record<string, (options: object) => Promise<unknown>> = {
    put: (options) => reader.put({ resource, ...options }),
    delete: (options) =>
      reader.delete({ ...byName("consumer", "u"), ...options }),
    transact: (options) => reader.transact({ operations, ...options }),
    transactStream: (options) =>
      reader.transactStream(
        parts(
          toBinary(
            TransactRequestSchema,
            create(TransactRequestSchema, { operations, ...options }),
          ),
        ),
      ),
    apply: (options) => reader.apply({ files, prune: true, ...options }),
    applyStream: (options) =>
      reader.applyStream(
        parts(
          toBinary(
            ApplyRequestSchema,
            create(ApplyRequestSchema, { files, prune: true, ...options }),
          ),
        ),
      ),
    rollback: (options) => reader.rollback({ revision: 0n, ...options }),
  };
  for (const { localName, name } of ConfigService.methods) {
    const call = calls[localName];
    if (accessTo(ConfigService.method[localName as "put"]).dryRun === true) {
      expect(await codeOf(call?.(trial) ?? Promise.resolve()), name).toBe("Ok");
    } else if (call === undefined) continue;
    else expect(await codeOf(call(trial)), name).toBe("PermissionDenied");
    expect(await codeOf(call?.({}) ?? Promise.resolve()), name).toBe(
      "PermissionDenied",
    );
  }
  expect(server.catalog.head.cursor.revision).toBe(before);
});

test("a reader sees no secrets, by trying a change neither", async () => {
  await configOf("writer").put({
    resource: { kind: { case: "consumer", value: { username: "u" } } },
  });
  await configOf("writer").put({
    resource: {
      kind: {
        case: "keyauthCredential",
        value: { consumer: { name: "u" }, key: SECRET },
      },
    },
  });
  const reader = configOf("reader");
  const shown = await reader.list({ kind: "keyauth_credential" });
  expect(JSON.stringify(shown, bigint)).not.toContain(SECRET);
  const asking = { kind: "keyauth_credential", includeSecrets: true };
  expect(await codeOf(reader.list(asking))).toBe("PermissionDenied");
  expect(await codeOf(configOf("writer").list(asking))).toBe("Ok");
  expect(
    await codeOf(
      reader.put({
        resource: { kind: { case: "consumer", value: { username: "u" } } },
        dryRun: true,
        includeSecrets: true,
      }),
    ),
  ).toBe("PermissionDenied");
});

/** A consumer with a key, a password and a plugin that has a token. */
async function putSecrets(): Promise<void> {
  const consumer = { name: "u" };
  for (const kind of [
    { case: "consumer", value: { username: "u" } },
    { case: "keyauthCredential", value: { consumer, key: SECRET } },
    {
      case: "basicauthCredential",
      value: { consumer, username: "u", password: SECRET },
    },
  ] as const)
    await configOf("writer").put({ resource: { kind } });
}

test.each([
  { guess: SECRET, of: "the right key" },
  { guess: "another", of: "a wrong one" },
])(
  "a reader is told the same of $of, however it is tried",
  async ({ guess }) => {
    await putSecrets();
    const trial = { dryRun: true };
    const consumer = { name: "u" };
    const credentials = [
      { case: "keyauthCredential", value: { consumer, key: guess } },
      {
        case: "basicauthCredential",
        value: { consumer, username: "u", password: guess },
      },
    ] as const;
    const file = `_format_version: "3.0"\nconsumers: [{username: u, basicauth_credentials: [{username: u, password: ${guess}}]}]`;
    const files = [{ name: "kong.yml", content: file }];
    const lookup = byName("keyauth_credential", guess);
    const operations = credentials.map((kind) => ({
      operation: { case: "put", value: { kind } } as const,
    }));
    const transaction = create(TransactRequestSchema, { operations, ...trial });
    const application = create(ApplyRequestSchema, { files, ...trial });
    const reader = configOf("reader");
    const ways: Record<string, () => Promise<unknown>> = {
      putKey: () =>
        reader.put({ resource: { kind: credentials[0] }, ...trial }),
      putPassword: () =>
        reader.put({ resource: { kind: credentials[1] }, ...trial }),
      putMasked: () =>
        reader.put({
          resource: { kind: credentials[1] },
          updateMask: { paths: ["password"] },
          ...trial,
        }),
      transact: () => reader.transact(transaction),
      transactStream: () =>
        reader.transactStream(
          one({ data: toBinary(TransactRequestSchema, transaction) }),
        ),
      apply: () => reader.apply(application),
      applyStream: () =>
        reader.applyStream(
          one({ data: toBinary(ApplyRequestSchema, application) }),
        ),
      delete: () => reader.delete({ ...lookup, ...trial }),
      transactDelete: () =>
        reader.transact({
          operations: [deletionOf("keyauth_credential", guess)],
          ...trial,
        }),
      get: () => reader.get(lookup),
      list: () => reader.list({ kind: "acl", refersTo: lookup }),
    };
    for (const [name, way] of Object.entries(ways)) {
      const error = await way().then(
        () => "told",
        (reason: unknown) => String(reason),
      );
      expect(error, name).toMatch(/permission_denied.*a secret.*needs write/);
      expect(error, name).not.toContain(guess);
    }
    const { records } = await server.trail.list({
      before: undefined,
      limit: 50,
      matches: ({ caller }) => caller === "reader",
    });
    expect(records).toHaveLength(Object.keys(ways).length);
    expect(JSON.stringify(records)).not.toContain(guess);
  },
);

test("whoever may see secrets may try them, and find what has them", async () => {
  await putSecrets();
  const writer = configOf("writer");
  const kind = {
    case: "keyauthCredential",
    value: { consumer: { name: "u" }, key: SECRET },
  } as const;
  const tried = await writer.put({ resource: { kind }, dryRun: true });
  expect(tried.changes).toEqual([]);
  expect(await codeOf(writer.get(byName("keyauth_credential", SECRET)))).toBe(
    "Ok",
  );
});

test("a reader may try a file that has its secrets elsewhere", async () => {
  const content = `_format_version: "3.0"
plugins: [{name: http-log, config: {http_endpoint: "http://logs.example", headers: {authorization: "{vault://env/log-token}"}}}]`;
  const files = [{ name: "kong.yml", content }];
  const { changes } = await configOf("reader").apply({ files, dryRun: true });
  expect(changes).toHaveLength(1);
});

function byName(kind: string, name: string) {
  return { kind, by: { case: "name", value: name } } as const;
}

function deletionOf(kind: string, name: string) {
  return {
    operation: { case: "delete", value: byName(kind, name) },
  } as const;
}

async function* one<T>(message: T): AsyncGenerator<T> {
  yield message;
}

function bigint(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
