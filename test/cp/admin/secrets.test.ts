import { toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffResponseSchema,
  ExportResponseSchema,
  GetResponseSchema,
  GetRevisionResponseSchema,
  ListResponseSchema,
  ListRevisionsResponseSchema,
  PutResponseSchema,
  TransactResponseSchema,
  WatchResponseSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { KINDS } from "../../../src/model/kinds.ts";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { putting } from "../../support/admin-client.ts";
import {
  startAdminServer,
  take,
  type AdminServer,
} from "../../support/admin-server.ts";
import { id, resource } from "../../support/resources.ts";

const SECRET = "s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t";
const consumer = { name: "ann" };

/** One of each sort of secret. */
function withSecrets(secret: string): Resource[] {
  return [
    resource("consumer", { id: id(1), username: "ann" }),
    resource("keyauthCredential", { id: id(2), key: secret, consumer }),
    resource("jwtSecret", { id: id(3), key: "k", secret, consumer }),
    resource("basicauthCredential", {
      id: id(4),
      username: "ann",
      password: secret,
      consumer,
    }),
    resource("plugin", {
      id: id(5),
      name: "rate-limiting",
      config: {
        minute: 1,
        policy: "redis",
        redis: { host: "r.internal", password: secret },
      },
    }),
    resource("plugin", {
      id: id(6),
      name: "homemade",
      config: { nested: { api_key: secret } },
    }),
  ];
}

const stack = new CloseStack();
let server: AdminServer;
beforeAll(async () => {
  server = await startAdminServer(stack);
  await server.config.transact({
    operations: withSecrets(SECRET).map(putting),
  });
  await server.config.transact({
    operations: withSecrets(`${SECRET}-2`).map(putting),
  });
});
afterAll(() => stack.close());

/** Everything that can be read, as JSON, by the name of the call. */
async function read(includeSecrets: boolean): Promise<Record<string, string>> {
  const { config } = server;
  const lists = await Promise.all(
    KINDS.map((kind) => config.list({ kind, includeSecrets })),
  );
  const [exported] = await take(
    (options) => config.export({ includeSecrets }, options),
    1,
  );
  const watched = await take(
    (options) => config.watch({ afterRevision: 0n, includeSecrets }, options),
    3,
  );
  return {
    List: lists.map((one) => toJsonString(ListResponseSchema, one)).join(),
    Get: toJsonString(
      GetResponseSchema,
      await config.get({
        kind: "keyauth_credential",
        by: { case: "id", value: id(2) },
        includeSecrets,
      }),
    ),
    Export:
      exported === undefined
        ? ""
        : toJsonString(ExportResponseSchema, exported),
    GetRevision: toJsonString(
      GetRevisionResponseSchema,
      await config.getRevision({ revision: 2n, includeSecrets }),
    ),
    Diff: toJsonString(
      DiffResponseSchema,
      await config.diff({ fromRevision: 1n, toRevision: 2n, includeSecrets }),
    ),
    Watch: watched.map((one) => toJsonString(WatchResponseSchema, one)).join(),
  };
}

describe("secrets", () => {
  test("that change are named, in the history and by a dry run, and not shown", async () => {
    const { config } = server;
    const fields = [
      "config.nested.api_key",
      "config.redis.password",
      "key",
      "password",
      "secret",
    ];
    const told = await config.getRevision({ revision: 2n });
    const tried = await config.transact({
      operations: withSecrets(`${SECRET}-3`).map(putting),
      dryRun: true,
    });
    for (const changes of [
      told.changes.flatMap(({ change }) => change ?? []),
      tried.changes,
    ]) {
      const all = changes.flatMap((change) => change.fields);
      expect(all.map(({ path }) => path).sort()).toEqual(fields);
      for (const { secret, before, after } of all)
        expect([secret, before, after]).toEqual([true, undefined, undefined]);
    }
    expect(toJsonString(TransactResponseSchema, tried)).not.toContain(SECRET);
    const shown = await config.getRevision({
      revision: 2n,
      includeSecrets: true,
    });
    expect(
      shown.changes.flatMap(({ change }) => change?.fields ?? []),
    ).toContainEqual(
      expect.objectContaining({
        path: "secret",
        before: JSON.stringify(SECRET),
        after: JSON.stringify(`${SECRET}-2`),
      }),
    );
  });

  test("are in no answer that did not ask for them", async () => {
    for (const [rpc, text] of Object.entries(await read(false))) {
      expect(text, rpc).not.toContain(SECRET);
      expect(text, rpc).not.toContain("$scrypt$");
      expect(text, rpc).toContain("***");
    }
    const history = await server.config.listRevisions({});
    expect(toJsonString(ListRevisionsResponseSchema, history)).not.toContain(
      SECRET,
    );
  });

  test("are in those that did", async () => {
    for (const [rpc, text] of Object.entries(await read(true))) {
      expect(text, rpc).toContain(SECRET);
      expect(text, rpc).not.toContain("***");
    }
  });

  test("are told once by a Put that makes them up, and by a later one on request only", async () => {
    const value = { id: id(7), consumer };
    const put = async (
      tags: string[],
      includeSecrets: boolean,
    ): Promise<string> => {
      const answer = await server.config.put({
        resource: resource("keyauthCredential", { ...value, tags }),
        includeSecrets,
      });
      return answer.resource?.kind.case === "keyauthCredential"
        ? answer.resource.kind.value.key
        : "";
    };
    const made = await put([], false);
    expect(made).toMatch(/^[\w-]{32}$/);
    expect(await put(["a"], false)).toBe("***");
    expect(await put(["b"], true)).toBe(made);
  });

  test("cannot be replaced by what was shown in their place", async () => {
    const { head } = server.catalog;
    const call = server.config.transact({
      operations: withSecrets("***").map(putting),
    });
    const error = ConnectError.from(
      await call.then(
        () => "done",
        (e: unknown) => e,
      ),
    );
    expect(error.code).toBe(Code.InvalidArgument);
    const told = JSON.stringify(error.details);
    for (const field of [
      "key",
      "secret",
      "password",
      "config.redis.password",
      "config.nested.api_key",
    ])
      expect(told).toContain(`: ${field}"`);
    expect(server.catalog.head).toBe(head);
    expect(
      toJsonString(
        PutResponseSchema,
        await server.config.put({
          resource: resource("consumer", { id: id(1), username: "***" }),
        }),
      ),
    ).toContain("***");
  });
});
