import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  PROTOCOLS,
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());

test.each(PROTOCOLS)(
  "adopting by %s answers the head under its new epoch and what that replaces",
  async (protocol) => {
    const { config } = server.clients(protocol);
    const before = server.catalog.head.cursor;
    const answer = await config.adopt({ epoch: before.epoch });
    expect(answer.cursor).toEqual(server.catalog.head.cursor);
    expect(answer.cursor).toMatchObject({
      revision: before.revision,
      root: before.root,
    });
    expect(answer.predecessors).toEqual([before.epoch]);
    // The answer may have been lost and the request come again.
    expect(await config.adopt({ epoch: before.epoch })).toEqual(answer);
  },
);

test("adopting in place of an epoch that never was is refused", async () => {
  await expect(server.config.adopt({ epoch: "x" })).rejects.toMatchObject({
    code: Code.FailedPrecondition,
    rawMessage: expect.stringMatching(
      /^epoch: "x" is no epoch of this history, .*nothing was changed$/,
    ) as string,
  });
  expect(server.catalog.head.predecessors).toEqual([]);
});
