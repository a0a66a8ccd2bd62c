import { create, toJsonString } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PutResponseSchema } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { putting } from "../../support/admin-client.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { id, resource } from "../../support/resources.ts";

const stack = new CloseStack();
let server: AdminServer;
beforeAll(async () => {
  server = await startAdminServer(stack);
  const consumer = { name: "ann" };
  await server.config.transact({
    operations: [
      resource("service", {
        id: id(1),
        name: "pay",
        host: "a.internal",
        port: 8080,
        retries: 1,
        tags: ["x"],
      }),
      resource("service", { id: id(2), name: "ship", host: "b.internal" }),
      resource("route", { name: "r", paths: ["/r"], service: { name: "pay" } }),
      resource("upstream", {
        name: "u",
        healthchecks: { active: { timeout: 3, concurrency: 7 } },
      }),
      resource("consumer", { username: "ann" }),
      resource("keyauthCredential", { id: id(3), key: "the-key", consumer }),
      resource("plugin", {
        id: id(4),
        name: "rate-limiting",
        config: { minute: 5, hour: 50 },
      }),
      resource("plugin", {
        id: id(50),
        name: "of-our-own",
        config: { clientID: "a", old: { key: 1, kept: 1 } },
      }),
    ].map(putting),
  });
});
afterAll(() => stack.close());

async function put(
  value: Resource,
  paths: string[],
  options: { includeSecrets?: boolean; dryRun?: boolean } = {},
): Promise<NonNullable<Resource["kind"]["value"]>> {
  const answer = await server.config.put({
    resource: value,
    updateMask: { paths },
    ...options,
  });
  if (answer.resource?.kind.value === undefined) throw new Error("no resource");
  return answer.resource.kind.value;
}

async function refused(call: Promise<unknown>): Promise<string> {
  const error = ConnectError.from(
    await call.then(
      () => "done",
      (e: unknown) => e,
    ),
  );
  return `${Code[error.code]}: ${error.rawMessage}`;
}

describe("a Put with a mask", () => {
  test("changes the fields it names and leaves all others", async () => {
    expect(
      await put(
        resource("service", { name: "pay", host: "c.internal", port: 1 }),
        ["host", "service.connect_timeout"],
      ),
    ).toMatchObject({
      host: "c.internal",
      port: 8080,
      retries: 1,
      tags: ["x"],
      connectTimeout: 60000,
    });
  });

  test("gives a field that it names and does not have its default", async () => {
    expect(
      await put(resource("service", { id: id(1) }), ["retries", "tags"]),
    ).toMatchObject({ name: "pay", retries: 5, tags: [] });
  });

  test("reaches into messages and into a plugin's configuration", async () => {
    expect(
      await put(
        resource("upstream", {
          name: "u",
          healthchecks: { active: { timeout: 9, concurrency: 1 } },
        }),
        ["healthchecks.active.timeout"],
      ),
    ).toMatchObject({
      healthchecks: { active: { timeout: 9, concurrency: 7 } },
    });
    expect(
      await put(
        resource("plugin", {
          id: id(4),
          name: "rate-limiting",
          config: { minute: 6 },
        }),
        ["config.minute", "config.hour"],
      ),
    ).toMatchObject({ config: { minute: 6, policy: "local" } });
  });

  test("reaches into a configuration by its field names in either spelling", async () => {
    expect(
      await put(
        resource("plugin", {
          id: id(4),
          name: "rate-limiting",
          config: { hideClientHeaders: true },
        }),
        ["config.hide_client_headers"],
      ),
    ).toMatchObject({ config: { minute: 6, hide_client_headers: true } });
  });

  test("is refused for a path to nothing in a configuration", async () => {
    const { head } = server.catalog;
    expect(
      await refused(
        put(
          resource("plugin", {
            id: id(4),
            name: "rate-limiting",
            config: { minuet: 1 },
          }),
          ["config.minuet", "config.minute.x"],
        ),
      ),
    ).toMatch(
      /"config.minuet" names no field of the configuration.*"config.minute.x" names no field of the configuration/s,
    );
    const change = resource("plugin", {
      id: id(50),
      name: "of-our-own",
      config: { clientID: "b" },
    });
    expect(await refused(put(change, ["config.client_i_d"]))).toContain(
      '"config.client_i_d" names no field of the configuration',
    );
    expect(server.catalog.head).toBe(head);
    expect(
      await put(change, ["config.clientID", "config.old.key"]),
    ).toMatchObject({ config: { clientID: "b", old: { kept: 1 } } });
  });

  test("changes a reference as a whole", async () => {
    expect(
      await put(resource("route", { name: "r", service: { name: "ship" } }), [
        "service",
      ]),
    ).toMatchObject({ service: { id: id(2), name: "" }, paths: ["/r"] });
    expect(
      await put(resource("route", { name: "r", service: { name: "pay" } }), [
        "service.name",
      ]),
    ).toMatchObject({ service: { id: id(1), name: "" } });
  });

  test("keeps a secret that it does not name, and does not tell it", async () => {
    const change = resource("keyauthCredential", {
      id: id(3),
      key: "***",
      tags: ["t"],
    });
    expect(await put(change, ["tags"])).toMatchObject({
      key: "***",
      tags: ["t"],
    });
    expect(await put(change, ["tags"], { includeSecrets: true })).toMatchObject(
      { key: "the-key" },
    );
  });

  test("that is a dry run shows what would be and changes nothing", async () => {
    const { head } = server.catalog;
    const change = resource("service", { name: "pay", port: 99 });
    expect(await put(change, ["port"], { dryRun: true })).toMatchObject({
      port: 99,
      name: "pay",
    });
    expect(server.catalog.head).toBe(head);
  });

  test("replaces the whole for a mask of everything", async () => {
    expect(
      await put(resource("service", { name: "ship", host: "d.internal" }), [
        "*",
      ]),
    ).toMatchObject({ id: id(2), host: "d.internal" });
  });

  test("is refused for what is not there, and for paths that lead nowhere, all at once", async () => {
    const { head } = server.catalog;
    expect(
      await refused(
        put(resource("service", { name: "nope", host: "x" }), ["host"]),
      ),
    ).toMatch(/^NotFound: service "nope": is not there/);
    const answer = await refused(
      put(resource("service", { name: "pay" }), [
        "hots",
        "id",
        "tags.x",
        "client_certificate.key",
      ]),
    );
    for (const words of [
      "InvalidArgument",
      '"hots" names no field',
      '"id" cannot be changed',
      '"tags.x" goes on',
    ])
      expect(answer).toContain(words);
    expect(
      await refused(
        put(resource("service", { name: "pay", port: 70_000 }), ["port"]),
      ),
    ).toContain('service "pay": port');
    expect(server.catalog.head).toBe(head);
  });

  test("works in a transaction, on what an operation before it did", async () => {
    await server.config.transact({
      operations: [
        putting(
          resource("service", { name: "new", host: "n.internal", port: 81 }),
        ),
        {
          ...putting(resource("service", { name: "new", host: "m.internal" })),
          updateMask: create(FieldMaskSchema, { paths: ["host"] }),
        },
      ],
    });
    const by = { case: "name", value: "new" } as const;
    const { resource: now } = await server.config.get({ kind: "service", by });
    expect(now?.kind.value).toMatchObject({ host: "m.internal", port: 81 });
  });

  test("does not show the secrets of a plugin by the rules of another one", async () => {
    const plugin = resource("plugin", {
      id: id(5),
      name: "http-log",
      config: {
        http_endpoint: "http://log.internal",
        headers: { "X-Auth": "s3cr3t" },
      },
    });
    await server.config.put({ resource: plugin });
    for (const name of ["zzz", "cors"]) {
      const refused = await put(
        resource("plugin", { id: id(5), name }),
        ["name"],
        { dryRun: true },
      ).catch((error: unknown) => ConnectError.from(error));
      if (!(refused instanceof ConnectError)) throw new Error("not refused");
      expect(refused.code).toBe(Code.InvalidArgument);
      expect(refused.message).toContain(
        "name: cannot be changed: delete the plugin and make another one",
      );
      expect(JSON.stringify(refused.details)).not.toContain("s3cr3t");
      const answer = await server.config.put({
        resource: resource("plugin", { id: id(5), name }),
        updateMask: { paths: ["name"] },
        dryRun: true,
        includeViolations: true,
      });
      expect(answer).toMatchObject({ violations: [{ field: "name" }] });
      expect(toJsonString(PutResponseSchema, answer)).not.toContain("s3cr3t");
    }
  });

  test("is spelled in lowerCamelCase in JSON", async () => {
    const answer = await fetch(
      `${server.url}/holdfast.admin.v1.ConfigService/Put`,
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          resource: {
            service: { name: "pay", connect_timeout: 7, read_timeout: 8 },
          },
          update_mask: "connectTimeout",
        }),
      },
    );
    expect(await answer.json()).toMatchObject({
      resource: { service: { connect_timeout: 7, read_timeout: 60000 } },
    });
  });
});
