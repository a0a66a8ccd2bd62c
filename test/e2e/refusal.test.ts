import { create, fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { ResourceSchema } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";
import { encodeResource } from "../../src/model/encode.ts";
import { runSlices } from "../../src/model/slices.ts";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

async function rpc(
  cp: HoldfastProcess,
  method: string,
  body: object,
): Promise<unknown> {
  const response = await fetch(
    cp.url("admin", `/holdfast.admin.v1.${method}`),
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    },
  );
  return response.json();
}

/**
 * Breaks a route in a stopped control plane's store, as a catalog with a weaker rule would have: everything that makes a
 * data plane refuse a state is a rule of the catalog's too, so nothing that goes through it can.
 */
async function breakRoute(directory: string): Promise<void> {
  await using store = await LevelStore.open({ directory });
  const { cursor, snapshot } = await store.load("default");
  const entry = [...snapshot.entries()].find(({ key }) =>
    key.startsWith("route/"),
  );
  if (entry === undefined) throw new Error("there is no route");
  const route = fromBinary(ResourceSchema, entry.value);
  if (route.kind.case !== "route") throw new Error("it is no route");
  route.kind.value.paths = ["~/never(closed"];
  const value = encodeResource(create(ResourceSchema, route));
  const next = runSlices(
    snapshot.applySlices({ puts: [{ key: entry.key, value }], deletes: [] }),
  );
  await store.commit("default", [
    {
      record: {
        cursor: cursorOf(cursor.epoch, cursor.revision + 1n, next.root),
        timeMs: 0,
        author: "test",
        message: "",
        changes: [{ key: entry.key, before: entry.value, after: value }],
      },
    },
  ]);
}

test("a state that a data plane cannot apply changes nothing there, is shown with key, field and reason, is not sent again, and a fix heals it", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const before = await startCp(dir.join("cp"));
  const ports = {
    sync: before.address("sync"),
    admin: before.address("admin"),
  };
  const admin = ["--admin", `http://${ports.admin}`];
  await rpc(before, "ConfigService/Transact", {
    operations: [
      {
        put: {
          service: { name: "s", url: `http://127.0.0.1:${upstream.port}` },
        },
      },
      { put: { route: { name: "r", paths: ["/r"], service: { name: "s" } } } },
    ],
  });
  const dp = await startDp(dir.join("dp"), ports.sync);
  expect((await holdfast("wait", "1", ...admin)).code).toBe(0);
  await before.kill("SIGTERM");
  await breakRoute(dir.join("cp", "store"));

  await using cp = await startCp(dir.join("cp"), ports);
  const node = await eventually(async () => {
    const answer = (await rpc(cp, "NodeService/ListNodes", {})) as {
      nodes: { last_nack?: object }[];
    };
    return answer.nodes[0]?.last_nack === undefined
      ? undefined
      : answer.nodes[0];
  }, "the nack");
  expect(node).toMatchObject({
    serving: { revision: "1" },
    wanted: { revision: "2" },
    last_nack: {
      class: "INVALID",
      cursor: { revision: "2" },
      violations: [
        {
          key: expect.stringMatching(/^route\//) as string,
          field: "paths[0]",
          reason: expect.stringContaining("never(closed") as string,
        },
      ],
    },
  });
  expect((await fetch(dp.url("proxy", "/r"))).status).toBe(200);
  const waited = await holdfast("wait", "2", ...admin);
  expect(waited.code).toBe(3);
  expect(waited.stdout + waited.stderr).toContain("paths[0]");

  // A reconnect in between: the state is not offered again.
  await dp.kill("SIGKILL");
  await using again = await startDp(dir.join("dp"), ports.sync);
  const messages = async (type: string): Promise<number> => {
    const page = await (await fetch(again.url("status", "/metrics"))).text();
    const line = page
      .split("\n")
      .find((each) => each.includes(`direction="in",type="${type}"`));
    return Number(line?.split(" ").at(-1) ?? 0);
  };
  await eventually(
    async () => (await messages("welcome")) === 1 || undefined,
    "the welcome",
  );
  expect((await fetch(again.url("proxy", "/r"))).status).toBe(200);

  // The fix heals it, without a restart; what was sent first is the fix.
  await rpc(cp, "ConfigService/Put", {
    resource: {
      route: { name: "r", paths: ["/fixed"], service: { name: "s" } },
    },
  });
  expect((await holdfast("wait", "3", ...admin)).code).toBe(0);
  expect((await fetch(again.url("proxy", "/fixed"))).status).toBe(200);
  expect(await messages("manifest")).toBe(1);
  expect(await messages("delta")).toBe(0);
});

test("a plugin that the data plane lacks: refused it keeps the last good state and the write says so; with fail-route only its routes answer 503", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  await using cp = await startCp(dir.join("cp"));
  const admin = ["--admin", cp.url("admin")];
  await using strict = await startDp(dir.join("strict"), cp.address("sync"));
  await using lenient = await startDp(
    dir.join("lenient"),
    cp.address("sync"),
    "--on-unsupported",
    "fail-route",
  );
  await rpc(cp, "ConfigService/Transact", {
    operations: [
      {
        put: {
          service: { name: "s", url: `http://127.0.0.1:${upstream.port}` },
        },
      },
      { put: { route: { name: "a", paths: ["/a"], service: { name: "s" } } } },
      { put: { route: { name: "b", paths: ["/b"], service: { name: "s" } } } },
    ],
  });
  expect((await holdfast("wait", "1", ...admin)).code).toBe(0);
  const written = (await rpc(cp, "ConfigService/Put", {
    resource: { plugin: { name: "no-such-plugin", route: { name: "a" } } },
  })) as { resource: { plugin: { id: string } } };
  expect(JSON.stringify(written)).toMatch(/no-such-plugin.*nodes/s);
  await eventually(
    async () =>
      (await fetch(lenient.url("proxy", "/a"))).status === 503 || undefined,
    "the route to fail",
  );
  expect(await (await fetch(lenient.url("proxy", "/a"))).text()).toContain(
    "no-such-plugin",
  );
  expect((await fetch(lenient.url("proxy", "/b"))).status).toBe(200);
  expect(
    await (await fetch(lenient.url("status", "/status"))).text(),
  ).toContain("no-such-plugin");
  for (const path of ["/a", "/b"])
    expect((await fetch(strict.url("proxy", path))).status).toBe(200);
  const waited = await holdfast("wait", "2", ...admin);
  expect(waited.code).toBe(3);
  expect(waited.stdout + waited.stderr).toContain("plugin/no-such-plugin");

  const { id } = written.resource.plugin;
  expect((await holdfast("delete", "plugin", id, "--yes", ...admin)).code).toBe(
    0,
  );
  expect((await holdfast("wait", "3", ...admin)).code).toBe(0);
  expect((await fetch(lenient.url("proxy", "/a"))).status).toBe(200);
});
