import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ListRequestSchema } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { nameOf } from "../../../src/model/unique.ts";
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
  const route = (n: number, service: string, tags: string[] = []) =>
    resource("route", {
      id: id(n),
      name: `r${n}`,
      paths: [`/r${n}`],
      service: { name: service },
      tags,
    });
  await server.config.transact({
    operations: [
      resource("service", { name: "pay", host: "a", tags: ["x", "y"] }),
      resource("service", { name: "pay-out", host: "a", tags: ["x"] }),
      resource("service", { name: "ship", host: "a", tags: ["z"] }),
      ...[11, 12, 13, 14].map((n) => route(n, "pay", n < 13 ? ["odd"] : [])),
      route(15, "ship"),
    ].map(putting),
  });
});
afterAll(() => stack.close());

type Conditions = MessageInitShape<typeof ListRequestSchema>;

async function names(conditions: Conditions): Promise<string[]> {
  const { resources } = await server.config.list(conditions);
  return resources.map(nameOf).sort();
}

async function violations(call: Promise<unknown>): Promise<string> {
  const error = ConnectError.from(
    await call.then(
      () => "done",
      (e: unknown) => e,
    ),
  );
  return `${Code[error.code]}: ${error.rawMessage}`;
}

describe("a list", () => {
  const kind = "service";

  test("has what has all of some tags, one of others, and a name that begins so", async () => {
    expect(await names({ kind, tags: ["x"] })).toEqual(["pay", "pay-out"]);
    expect(await names({ kind, tags: ["x", "y"] })).toEqual(["pay"]);
    expect(await names({ kind, anyTags: ["y", "z"] })).toEqual(["pay", "ship"]);
    expect(await names({ kind, namePrefix: "pay" })).toEqual([
      "pay",
      "pay-out",
    ]);
    expect(
      await names({ kind, tags: ["x"], anyTags: ["y", "z"], namePrefix: "p" }),
    ).toEqual(["pay"]);
    expect(await names({ kind, namePrefix: "PAY" })).toEqual([]);
  });

  test("has what refers to a resource, by name or id, a page at a time", async () => {
    const pay = await server.config.get({
      kind,
      by: { case: "name", value: "pay" },
    });
    const payId = pay.resource?.kind.value?.id ?? "";
    for (const by of [
      { case: "name", value: "pay" },
      { case: "id", value: payId.toUpperCase() },
    ] as const) {
      const conditions = { kind: "route", refersTo: { kind, by }, pageSize: 3 };
      const first = await server.config.list(conditions);
      expect(first.resources.map(nameOf)).toEqual(["r11", "r12", "r13"]);
      const { nextPageToken: pageToken } = first;
      const second = await server.config.list({ ...conditions, pageToken });
      expect(second.resources.map(nameOf)).toEqual(["r14"]);
      expect(second.nextPageToken).toBe("");
    }
    expect(
      await names({
        kind: "route",
        refersTo: { kind, by: { case: "name", value: "pay" } },
        anyTags: ["odd"],
      }),
    ).toEqual(["r11", "r12"]);
    expect(
      await names({
        kind,
        refersTo: { kind, by: { case: "name", value: "pay" } },
      }),
    ).toEqual([]);
  });

  test("says what is wrong with its conditions", async () => {
    const missing = { kind, by: { case: "name", value: "nope" } } as const;
    expect(
      await violations(
        server.config.list({ kind: "route", refersTo: missing }),
      ),
    ).toBe('NotFound: service "nope": there is no service with this name');
    const answer = await violations(
      server.config.list({
        kind: "rout",
        tags: [""],
        anyTags: ["a", ""],
        refersTo: { kind: "x" },
      }),
    );
    for (const field of ["kind", "tags[0]", "any_tags[1]"])
      expect(answer).toContain(field);
  });

  test("refuses a token of a list with other conditions", async () => {
    const { nextPageToken: pageToken } = await server.config.list({
      kind: "route",
      pageSize: 2,
    });
    const next = { kind: "route", pageSize: 2, pageToken };
    expect((await server.config.list(next)).resources).toHaveLength(2);
    expect(
      await violations(server.config.list({ ...next, namePrefix: "r" })),
    ).toContain("page_token");
  });

  test("shows what is there all along exactly once, whatever is written between its pages", async () => {
    const seen: string[] = [];
    let pageToken = "";
    let round = 0;
    do {
      const page = await server.config.list({
        kind: "route",
        pageSize: 1,
        pageToken,
      });
      seen.push(...page.resources.map(nameOf));
      ({ nextPageToken: pageToken } = page);
      // Before the place of the reader, at it, and behind it.
      const at: number = 20 + ++round;
      const extra = (n: number): Resource =>
        resource("route", {
          id: id(n),
          name: `x${n}`,
          paths: [`/x${n}`],
          service: { name: "pay" },
        });
      await server.config.transact({
        operations: [
          putting(extra(round)),
          putting(extra(at)),
          ...(round === 3
            ? [
                {
                  operation: {
                    case: "delete",
                    value: { kind: "route", by: { case: "name", value: "x1" } },
                  },
                } as const,
              ]
            : []),
        ],
      });
    } while (pageToken !== "" && round < 12);
    const old = seen.filter((name) => name.startsWith("r"));
    expect(old).toEqual(["r11", "r12", "r13", "r14", "r15"]);
    expect(new Set(seen).size).toBe(seen.length);
  });
});
