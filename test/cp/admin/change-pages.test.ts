import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ResourceChange } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
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
  await server.config.transact({
    operations: [1, 2, 3, 4, 5].map((n) =>
      putting(resource("service", { id: id(n), name: `s${n}`, host: "h" })),
    ),
  });
});
afterAll(() => stack.close());

const names = (changes: readonly ResourceChange[]): string =>
  changes.map(({ change }) => change?.name).join();

describe("changes come in pages", () => {
  test("of one revision", async () => {
    const page = { revision: 1n, pageSize: 2 };
    const pages: string[] = [];
    let pageToken = "";
    do {
      const answer = await server.config.getRevision({ ...page, pageToken });
      pages.push(names(answer.changes));
      ({ nextPageToken: pageToken } = answer);
    } while (pageToken !== "");
    expect(pages).toEqual(["s1,s2", "s3,s4", "s5"]);
  });

  test("of a comparison with the head of the first page, whatever is committed meanwhile", async () => {
    const page = { fromRevision: 0n, pageSize: 3 };
    const first = await server.config.diff(page);
    await server.config.put({
      resource: resource("service", { id: id(0), name: "s0", host: "h" }),
    });
    const { nextPageToken: pageToken } = first;
    const second = await server.config.diff({ ...page, pageToken });
    expect([first, second].map(({ changes }) => names(changes))).toEqual([
      "s1,s2,s3",
      "s4,s5",
    ]);
    expect([second.to, second.changeCount]).toEqual([first.to, 5]);
    expect(second.nextPageToken).toBe("");
    const other = server.config.diff({ ...page, toRevision: 1n, pageToken });
    const refused = await other.then(
      () => "done",
      (e: unknown) => e,
    );
    expect(ConnectError.from(refused).code).toBe(Code.InvalidArgument);
  });
});
