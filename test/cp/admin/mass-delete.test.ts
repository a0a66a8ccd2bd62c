import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ApplyRequestSchema,
  TransactRequestSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { resource } from "../../support/resources.ts";

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());

/** Revision 1 has some services, revision 2 a consumer and its keys besides. */
async function fill(services: number, keys: number): Promise<void> {
  const put = (value: Resource) => ({
    operation: { case: "put" as const, value },
  });
  await server.config.transact({
    operations: Array.from({ length: services }, (_, i) =>
      put(resource("service", { name: `s${i}`, host: "h.internal" })),
    ),
  });
  await server.config.transact({
    operations: [
      put(resource("consumer", { username: "ann" })),
      ...Array.from({ length: keys }, (_, i) =>
        put(
          resource("keyauthCredential", {
            key: `key-${i}`,
            consumer: { name: "ann" },
          }),
        ),
      ),
    ],
  });
}

const deleteAnn = {
  operation: {
    case: "delete" as const,
    value: { kind: "consumer", by: { case: "name" as const, value: "ann" } },
  },
};

/** Each way to delete the consumer with all its keys. */
const PATHS: Readonly<
  Record<
    string,
    (services: number, allowMassDelete: boolean) => Promise<unknown>
  >
> = {
  Transact: (_services, allowMassDelete) =>
    server.config.transact({ operations: [deleteAnn], allowMassDelete }),
  TransactStream: (_services, allowMassDelete) =>
    server.config.transactStream(
      stream(
        toBinary(
          TransactRequestSchema,
          create(TransactRequestSchema, {
            operations: [deleteAnn],
            allowMassDelete,
          }),
        ),
      ),
    ),
  Delete: (_services, allowMassDelete) =>
    server.config.delete({ ...deleteAnn.operation.value, allowMassDelete }),
  Apply: (services, allowMassDelete) =>
    server.config.apply({
      files: [file(services)],
      prune: true,
      allowMassDelete,
    }),
  ApplyStream: (services, allowMassDelete) =>
    server.config.applyStream(
      stream(
        toBinary(
          ApplyRequestSchema,
          create(ApplyRequestSchema, {
            files: [file(services)],
            prune: true,
            allowMassDelete,
          }),
        ),
      ),
    ),
  Rollback: (_services, allowMassDelete) =>
    server.config.rollback({ revision: 1n, allowMassDelete }),
};

async function* stream(data: Uint8Array) {
  yield { data };
}

function file(services: number): { name: string; content: string } {
  const lines = Array.from(
    { length: services },
    (_, i) => `- { name: s${i}, host: h.internal }`,
  );
  return {
    name: "kong.yml",
    content: `_format_version: "3.0"\nservices:\n${lines.join("\n")}\n`,
  };
}

describe.each(Object.entries(PATHS))(
  "the guard against mass deletion (rule 6) holds for %s",
  (_name, remove) => {
    test("more than half of everything and at least 20 need allow_mass_delete", async () => {
      await fill(19, 19);
      const { head } = server.catalog;
      const error = ConnectError.from(
        await remove(19, false).catch((e: unknown) => e),
      );
      expect(error.code).toBe(Code.FailedPrecondition);
      expect(error.rawMessage).toMatch(
        /^allow_mass_delete: would delete 20 of 39 resources, more than half /,
      );
      expect(server.catalog.head).toBe(head);
      await remove(19, true);
      expect(server.catalog.head.snapshot.entryCount).toBe(19);
    });

    test("half of everything does not", async () => {
      await fill(20, 19);
      await remove(20, false);
      expect(server.catalog.head.snapshot.entryCount).toBe(20);
    });

    test("fewer than 20 never do", async () => {
      await fill(2, 18);
      await remove(2, false);
      expect(server.catalog.head.snapshot.entryCount).toBe(2);
    });
  },
);
