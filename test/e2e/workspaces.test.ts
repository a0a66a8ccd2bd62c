import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import {
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

// One control plane and a data plane of each of two workspaces for all tests: starting processes is what takes time.
let dir: TempDir;
let upstream: Upstream;
let cp: HoldfastProcess;
/** A data plane of workspace "default". */
let main: HoldfastProcess;
/** A data plane of workspace "shop". */
let shop: HoldfastProcess;

beforeAll(async () => {
  dir = await TempDir.make();
  upstream = await Upstream.start();
  cp = await startCp(dir.join("cp"));
  await cli("workspace", "create", "shop");
  await apply("default", "/main-1");
  await apply("shop", "/shop-1");
  const sync = cp.address("sync");
  [main, shop] = await Promise.all([
    startDp(dir.join("main"), sync, "--node-id", "main-1"),
    startDp(
      dir.join("shop"),
      sync,
      ...["--node-id", "shop-1", "--workspace", "shop"],
    ),
  ]);
  for (const workspace of ["default", "shop"])
    await cli("wait", "0", "--workspace", workspace);
}, 120_000);

afterAll(async () => {
  for (const owned of [main, shop, cp, upstream, dir])
    await owned[Symbol.asyncDispose]();
});

/** Runs a command on the control plane to its end, which must go well unless a test says otherwise. */
async function cli(...argv: readonly string[]): Promise<string> {
  const done = await ending(...argv);
  expect(done).toMatchObject({ code: 0 });
  return done.stdout;
}

function ending(...argv: readonly string[]) {
  return runCli(argv, { env: { HOLDFAST_ADMIN: cp.url("admin") } });
}

/** Makes a workspace one service with one route. Says which revision that is. */
async function apply(workspace: string, path: string): Promise<string> {
  const file = `_format_version: "3.0"
services:
  - name: s
    url: http://127.0.0.1:${upstream.port}
    routes: [{ name: r, paths: [${path}] }]
`;
  const applied = await runCli(
    ["apply", "-f", "-", "--workspace", workspace, "-o", "json"],
    { env: { HOLDFAST_ADMIN: cp.url("admin") }, stdin: file },
  );
  expect(applied).toMatchObject({ code: 0 });
  return (JSON.parse(applied.stdout) as { revision: string }).revision;
}

/** Which of these paths a data plane proxies. */
async function proxied(
  dp: HoldfastProcess,
  ...paths: readonly string[]
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of paths)
    if ((await fetch(dp.url("proxy", path))).status === 200) found.push(path);
  return found;
}

interface ShownNode {
  readonly id: string;
  readonly connected?: boolean;
  readonly conditions?: readonly string[];
  readonly pinned_revision?: string;
  readonly reason?: string;
}

async function nodesOf(workspace: string): Promise<readonly ShownNode[]> {
  const printed = await cli("nodes", "--workspace", workspace, "-o", "json");
  return (JSON.parse(printed) as { readonly nodes: readonly ShownNode[] })
    .nodes;
}

test("the data planes of two workspaces get their own configuration, and nothing of the other's", async () => {
  const paths = ["/main-1", "/shop-1"];
  expect(await proxied(main, ...paths)).toEqual(["/main-1"]);
  expect(await proxied(shop, ...paths)).toEqual(["/shop-1"]);
  expect((await nodesOf("default")).map(({ id }) => id)).toEqual(["main-1"]);
  expect((await nodesOf("shop")).map(({ id }) => id)).toEqual(["shop-1"]);
});

test("a pin and a pause hold after kill -9 of the control plane, and the list and a wait say so", async () => {
  expect(await cli("nodes", "pin", "main-1", "1")).toContain("pinned");
  await cli("pause", "--workspace", "shop");
  await cp.kill("SIGKILL");
  cp = await startCp(dir.join("cp"), {
    admin: cp.address("admin"),
    sync: cp.address("sync"),
  });
  const changed = await apply("default", "/main-2");
  expect(await apply("shop", "/shop-2")).toBe(changed);
  for (const [workspace, id, condition] of [
    ["default", "main-1", "pinned"],
    ["shop", "shop-1", "paused"],
  ] as const) {
    const node = await eventually(
      async () =>
        (await nodesOf(workspace)).find(({ connected }) => connected === true),
      `node ${id}, connected again`,
    );
    expect(node).toMatchObject({
      id,
      conditions: [condition],
      reason: expect.stringMatching(`^${condition} .*revision 1$`) as string,
    });
    const waited = await ending("wait", changed, "--workspace", workspace);
    expect(waited.code).toBe(3);
    expect(waited.stderr).toMatch(
      new RegExp(
        `nodes are pinned or paused before it.*\\n  ${id} .*serves revision 1: ${condition} `,
      ),
    );
  }
  expect((await nodesOf("default"))[0]?.pinned_revision).toBe("1");
  expect(await proxied(main, "/main-1", "/main-2")).toEqual(["/main-1"]);
  expect(await proxied(shop, "/shop-1", "/shop-2")).toEqual(["/shop-1"]);

  await cli("nodes", "unpin", "main-1");
  await cli("resume", "--workspace", "shop");
  for (const workspace of ["default", "shop"])
    await cli("wait", changed, "--workspace", workspace);
  expect(await proxied(main, "/main-1", "/main-2")).toEqual(["/main-2"]);
  expect(await proxied(shop, "/shop-1", "/shop-2")).toEqual(["/shop-2"]);
});

test("copying a workspace, changing the copy and deleting both touches no node of another", async () => {
  const before = await cli("history", "-o", "json");
  await cli("workspace", "copy", "default", "copied");
  await apply("copied", "/copied");
  expect(await nodesOf("copied")).toEqual([]);
  await cli("workspace", "delete", "copied", "--force", "--yes");
  await cli("workspace", "delete", "shop", "--force", "--yes");
  expect(await cli("history", "-o", "json")).toBe(before);
  const revision = await apply("default", "/main-3");
  await cli("wait", revision);
  const paths = ["/main-3", "/shop-2", "/copied"];
  expect(await proxied(main, ...paths)).toEqual(["/main-3"]);
  // What was deleted is still served by the node that has it.
  expect(await proxied(shop, ...paths)).toEqual(["/shop-2"]);
});
