import { cp as copy, rm } from "node:fs/promises";
import { beforeEach, afterEach, expect, test } from "vitest";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { adminClient, putting } from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  startCp,
  startDp,
  type HoldfastProcess,
  type Output,
} from "../support/holdfast-process.ts";
import { resource } from "../support/resources.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

interface Node {
  readonly id: string;
  readonly serving?: { readonly epoch: string; readonly revision: string };
  readonly in_sync?: boolean;
  readonly conditions?: readonly string[];
}

let dir: TempDir;
let upstream: Upstream;
let processes: HoldfastProcess[];
beforeEach(async () => {
  dir = await TempDir.make();
  upstream = await Upstream.start();
  processes = [];
});
afterEach(async () => {
  await Promise.all(processes.map((each) => each[Symbol.asyncDispose]()));
  await upstream[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

async function started(
  starting: Promise<HoldfastProcess>,
): Promise<HoldfastProcess> {
  const process = await starting;
  processes.push(process);
  return process;
}

function on(cp: HoldfastProcess, ...argv: readonly string[]): Promise<Output> {
  return holdfast(...argv, "--admin", cp.url("admin"));
}

async function done(running: Promise<Output>): Promise<Output> {
  const output = await running;
  expect([output.code, output.stderr]).toEqual([0, expect.any(String)]);
  return output;
}

/** Routes to the upstream, with their service, as one revision. */
async function route(cp: HoldfastProcess, ...paths: string[]): Promise<bigint> {
  const resources: Resource[] = [
    resource("service", {
      name: "s",
      host: "127.0.0.1",
      port: upstream.port,
    }),
    ...paths.map((path) =>
      resource("route", {
        name: path.slice(1),
        paths: [path],
        service: { name: "s" },
      }),
    ),
  ];
  const { revision } = await adminClient(cp.url("admin")).config.transact({
    operations: resources.map(putting),
  });
  return revision;
}

async function serves(
  dp: HoldfastProcess,
  path: string,
  status: number,
): Promise<void> {
  await eventually(
    async () =>
      (await fetch(dp.url("proxy", path))).status === status || undefined,
    `${path} to answer ${status}`,
    20_000,
  );
}

async function node(cp: HoldfastProcess): Promise<Node | undefined> {
  const { stdout } = await done(on(cp, "nodes", "-o", "json"));
  const { nodes } = JSON.parse(stdout) as { readonly nodes: readonly Node[] };
  return nodes.find(({ id }) => id === "edge");
}

function nodeIs(
  cp: HoldfastProcess,
  what: string,
  check: (node: Node) => boolean,
): Promise<Node> {
  return eventually(
    async () => {
      const found = await node(cp);
      return found !== undefined && check(found) ? found : undefined;
    },
    `the node to be ${what}`,
    20_000,
  );
}

const many = Array.from({ length: 20 }, (_, i) => `/later-${i}`);

test("a control plane that is lost is made anew from an exported snapshot, and the nodes follow it", async () => {
  const lost = await started(startCp(dir.join("cp")));
  const sync = lost.address("sync");
  await route(lost, "/a", "/b", "/c");
  const dp = await started(startDp(dir.join("dp"), sync, "--node-id", "edge"));
  await serves(dp, "/c", 200);
  const backup = dir.join("backup.hfs");
  await done(on(lost, "export-snapshot", "-o", backup));
  await route(lost, "/d");
  await serves(dp, "/d", 200);
  await lost.kill("SIGKILL");
  await rm(dir.join("cp"), { recursive: true });

  await done(holdfast("restore", backup, "--data-dir", dir.join("new")));
  const cp = await started(startCp(dir.join("new"), { sync }));
  // A fifth of what it has goes, so nobody is asked.
  await serves(dp, "/d", 404);
  expect((await fetch(dp.url("proxy", "/c"))).status).toBe(200);
  const { serving } = await nodeIs(cp, "in sync", (n) => n.in_sync === true);
  expect(serving?.revision).toBe("1");
  await route(cp, "/e");
  await serves(dp, "/e", 200);
}, 90_000);

test("a node that would lose more than half to a restored control plane goes on as it is until it is allowed to", async () => {
  const lost = await started(startCp(dir.join("cp")));
  const sync = lost.address("sync");
  await route(lost, "/a", "/b");
  const backup = dir.join("backup.hfs");
  await done(on(lost, "export-snapshot", "-o", backup));
  await route(lost, ...many);
  const dp = await started(startDp(dir.join("dp"), sync, "--node-id", "edge"));
  await serves(dp, "/later-19", 200);
  await lost.kill("SIGKILL");

  await done(holdfast("restore", backup, "--data-dir", dir.join("new")));
  const cp = await started(startCp(dir.join("new"), { sync }));
  await nodeIs(
    cp,
    "held",
    (n) => n.conditions?.includes("held") === true && n.in_sync !== true,
  );
  expect((await fetch(dp.url("proxy", "/later-19"))).status).toBe(200);
  // Neither a change nor a restart of the node makes it follow.
  await route(cp, "/f");
  await dp.kill("SIGKILL");
  const again = await started(
    startDp(dir.join("dp"), sync, "--node-id", "edge"),
  );
  expect((await fetch(again.url("proxy", "/later-19"))).status).toBe(200);
  await nodeIs(cp, "held", (n) => n.conditions?.includes("held") === true);
  const table = await done(on(cp, "nodes"));
  expect(table.stdout).toMatch(/CONDITION[^]* held /);

  await done(on(cp, "nodes", "allow", "edge"));
  await serves(again, "/later-19", 404);
  await serves(again, "/f", 200);
  const { conditions = [] } = await nodeIs(
    cp,
    "in sync",
    (n) => n.in_sync === true,
  );
  expect(conditions).toEqual([]);
  await route(cp, "/g");
  await serves(again, "/g", 200);
}, 90_000);

test("a control plane whose directory was put back from an older copy sends its nodes nothing until it is adopted", async () => {
  const first = await started(startCp(dir.join("cp")));
  const ports = { sync: first.address("sync"), admin: first.address("admin") };
  await route(first, "/a");
  await first.kill("SIGTERM");
  await copy(dir.join("cp"), dir.join("copy"), { recursive: true });
  const second = await started(startCp(dir.join("cp"), ports));
  await route(second, "/b");
  await route(second, "/c");
  const dp = await started(
    startDp(dir.join("dp"), ports.sync, "--node-id", "edge"),
  );
  await serves(dp, "/c", 200);
  await second.kill("SIGKILL");
  await rm(dir.join("cp"), { recursive: true });
  await copy(dir.join("copy"), dir.join("cp"), { recursive: true });

  const cp = await started(startCp(dir.join("cp"), ports));
  const forked = (n: Node) => n.conditions?.includes("forked") === true;
  const before = await nodeIs(cp, "forked", forked);
  expect(before.serving?.revision).toBe("3");
  // The history goes on, to the very revision that the node has and past it, and still nothing is sent.
  expect(await route(cp, "/other")).toBe(2n);
  expect(await route(cp, "/other-2")).toBe(3n);
  expect(await route(cp, "/other-3")).toBe(4n);
  expect(forked((await node(cp)) ?? { id: "" })).toBe(true);
  for (const path of ["/a", "/b", "/c"])
    expect((await fetch(dp.url("proxy", path))).status).toBe(200);
  expect((await fetch(dp.url("proxy", "/other"))).status).toBe(404);

  // Without a terminal nobody can be asked.
  const asked = await on(cp, "adopt");
  expect(asked.code).toBe(1);
  expect(asked.stderr).toContain("1 node is forked");
  expect(asked.stderr).toMatch(/ {2}edge \(.*\) serves revision 3 /);
  expect(forked((await node(cp)) ?? { id: "" })).toBe(true);

  await done(on(cp, "adopt", "--yes"));
  await serves(dp, "/other-3", 200);
  await serves(dp, "/c", 404);
  const after = await nodeIs(cp, "in sync", (n) => n.in_sync === true);
  expect(after.conditions ?? []).toEqual([]);
  expect(after.serving?.revision).toBe("4");
  expect(after.serving?.epoch).not.toBe(before.serving?.epoch);
  await route(cp, "/d");
  await serves(dp, "/d", 200);
}, 90_000);
