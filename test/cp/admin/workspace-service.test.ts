import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { each, startAdminServer } from "../../support/admin-server.ts";
import type { AdminServer } from "../../support/admin-server.ts";

let stack: CloseStack;
let server: AdminServer;
beforeAll(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterAll(() => stack.close());

test("what is streamed of a workspace ends when it is deleted, and what is asked after that", async () => {
  const { workspace, config, node } = server;
  await workspace.createWorkspace({ workspace: "x" });
  const ended = Promise.allSettled([
    each(
      (options) => config.watch({ workspace: "x" }, options),
      async () => {
        // Deleted as soon as it is heard of.
        await workspace.deleteWorkspace({ workspace: "x" });
        return false;
      },
    ),
    each(
      (options) => node.watchNodes({ workspace: "x" }, options),
      () => false,
    ),
  ]);
  for (const one of await ended)
    expect(one).toMatchObject({
      status: "rejected",
      reason: {
        code: Code.NotFound,
        rawMessage: 'workspace: workspace "x" was deleted',
      },
    });
  await expect(
    config.put({ workspace: "x", resource: {} }),
  ).rejects.toMatchObject({
    code: Code.NotFound,
    rawMessage: expect.stringContaining('no workspace "x"') as string,
  });
});

test("workspaces are listed by name, in pages", async () => {
  const { workspace } = server;
  for (const name of ["b", "a"])
    await workspace.createWorkspace({ workspace: name });
  const names: string[][] = [];
  for (let pageToken = ""; ;) {
    const page = await workspace.listWorkspaces({ pageSize: 2, pageToken });
    names.push(page.workspaces.map(({ name }) => name));
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect(names).toEqual([["a", "b"], ["default"]]);
});
