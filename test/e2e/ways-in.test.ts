import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  runProgram,
  startCp,
  startDp,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";
import { findProgram, grpcurlPath } from "../support/tools.ts";
import { Upstream } from "../support/upstream.ts";

const grpcurl = grpcurlPath();
const curl = findProgram("curl");

test.skipIf(grpcurl === undefined)(
  "a service and a route made with grpcurl, knowing nothing but the address, are served by two data planes",
  async () => {
    await using dir = await TempDir.make();
    await using upstream = await Upstream.start();
    await using cp = await startCp(dir.join("cp"));
    await using one = await startDp(dir.join("one"), cp.address("sync"));
    await using two = await startDp(dir.join("two"), cp.address("sync"));

    const call = async (...argv: string[]): Promise<string> => {
      const output = await runProgram(grpcurl ?? "", ["-plaintext", ...argv]);
      expect(output.stderr).toBe("");
      expect(output.code).toBe(0);
      return output.stdout;
    };
    expect(await call(cp.address("admin"), "list")).toContain(
      "holdfast.admin.v1.ConfigService",
    );
    expect(
      await call(
        cp.address("admin"),
        "describe",
        "holdfast.config.v1.Resource",
      ),
    ).toContain("oneof kind");
    await call(
      "-d",
      JSON.stringify({
        resource: {
          service: { name: "echo", host: "127.0.0.1", port: upstream.port },
        },
      }),
      cp.address("admin"),
      "holdfast.admin.v1.ConfigService/Put",
    );
    const answer = JSON.parse(
      await call(
        "-d",
        JSON.stringify({
          resource: {
            route: {
              name: "echo",
              paths: ["/echo"],
              service: { name: "echo" },
            },
          },
        }),
        cp.address("admin"),
        "holdfast.admin.v1.ConfigService/Put",
      ),
    ) as { revision: string; changes: unknown[] };
    expect(answer).toMatchObject({
      revision: "2",
      changes: [{ kind: "route", name: "echo", action: "create" }],
    });

    const waited = await holdfast(
      "wait",
      answer.revision,
      "--admin",
      cp.url("admin"),
    );
    expect(waited.stderr + waited.stdout).toContain("2");
    expect(waited.code).toBe(0);
    for (const dp of [one, two]) {
      const response = await fetch(dp.url("proxy", "/echo/hello"));
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({
        upstream: true,
        url: "/hello",
      });
    }
    const nodes = await holdfast(
      "nodes",
      "--admin",
      cp.url("admin"),
      "-o",
      "json",
    );
    expect(JSON.parse(nodes.stdout)).toMatchObject({
      nodes: [
        { connected: true, in_sync: true, serving: { revision: "2" } },
        { connected: true, in_sync: true, serving: { revision: "2" } },
      ],
    });
  },
);

test.skipIf(curl === undefined)(
  "a service and a route made with curl as JSON are served by two data planes",
  async () => {
    await using dir = await TempDir.make();
    await using upstream = await Upstream.start();
    await using cp = await startCp(dir.join("cp"));
    await using one = await startDp(dir.join("one"), cp.address("sync"));
    await using two = await startDp(dir.join("two"), cp.address("sync"));
    const put = async (resource: object): Promise<unknown> => {
      const output = await runProgram(curl ?? "", [
        "--silent",
        "--show-error",
        "-H",
        "content-type: application/json",
        "-d",
        JSON.stringify({ resource }),
        cp.url("admin", "/holdfast.admin.v1.ConfigService/Put"),
      ]);
      return JSON.parse(output.stdout);
    };
    await put({
      service: { name: "s", url: `http://127.0.0.1:${upstream.port}/base` },
    });
    expect(
      await put({
        route: { name: "r", paths: ["/r"], service: { name: "s" } },
      }),
    ).toMatchObject({
      revision: "2",
      resource: {
        route: { name: "r", protocols: ["http", "https"], strip_path: true },
      },
    });
    expect(await put({ route: { nmae: "r" } })).toMatchObject({
      code: "invalid_argument",
    });
    const waited = await holdfast("wait", "2", "--admin", cp.url("admin"));
    expect(waited.code).toBe(0);
    for (const dp of [one, two])
      expect(
        await (await fetch(dp.url("proxy", "/r/x?y=1"))).json(),
      ).toMatchObject({ url: "/base/x?y=1" });
  },
);

test("a file brought in with the command line is served by two data planes, and history says who and what", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  await using cp = await startCp(dir.join("cp"));
  await using one = await startDp(dir.join("one"), cp.address("sync"));
  await using two = await startDp(dir.join("two"), cp.address("sync"));
  const admin = ["--admin", cp.url("admin")];
  await writeFile(
    dir.join("kong.yml"),
    `_format_version: "3.0"
services:
  - name: shop
    url: http://127.0.0.1:${upstream.port}
    routes:
      - name: shop
        paths: [/shop]
        strip_path: false
`,
  );
  const applied = await holdfast(
    "apply",
    "-f",
    dir.join("kong.yml"),
    "--wait",
    "30s",
    ...admin,
  );
  expect(applied.stderr).not.toContain("rror");
  expect(applied.code).toBe(0);
  for (const dp of [one, two])
    expect(
      await (await fetch(dp.url("proxy", "/shop/cart"))).json(),
    ).toMatchObject({ url: "/shop/cart" });

  const again = await holdfast(
    "apply",
    "-f",
    dir.join("kong.yml"),
    "-o",
    "json",
    ...admin,
  );
  expect(JSON.parse(again.stdout)).toMatchObject({ revision: "1" });
  const history = await holdfast("history", "-o", "json", ...admin);
  expect(JSON.parse(history.stdout)).toMatchObject({
    revisions: [{ cursor: { revision: "1" }, change_count: 2 }],
  });

  const deleted = await holdfast("delete", "route", "shop", "--yes", ...admin);
  expect(deleted.code).toBe(0);
  expect((await holdfast("wait", "2", ...admin)).code).toBe(0);
  expect((await fetch(one.url("proxy", "/shop/cart"))).status).toBe(404);
  expect((await holdfast("rollback", "1", "--yes", ...admin)).code).toBe(0);
  expect((await holdfast("wait", "3", ...admin)).code).toBe(0);
  expect((await fetch(two.url("proxy", "/shop/cart"))).status).toBe(200);
});

test("a file with problems is refused as a whole, each problem with file, line and entity", async () => {
  await using dir = await TempDir.make();
  await using cp = await startCp(dir.join("cp"));
  await writeFile(
    dir.join("bad.yml"),
    `_format_version: "3.0"
services:
  - name: good
    host: example.test
  - name: bad
    host: example.test
    prot: 80
    routes:
      - name: r
        paths: ["no-slash"]
`,
  );
  const output = await holdfast(
    "apply",
    "-f",
    dir.join("bad.yml"),
    "--admin",
    cp.url("admin"),
  );
  expect(output.code).toBe(1);
  expect(output.stderr).toMatch(/service "bad": prot: .*bad\.yml:7:/);
  expect(output.stderr).toMatch(/route "r": paths\[0\]: .*bad\.yml:10:/);
  const got = await holdfast(
    "get",
    "services",
    "-o",
    "json",
    "--admin",
    cp.url("admin"),
  );
  expect(JSON.parse(got.stdout)).toEqual({ resources: [] });
});

test("a node that comes later gets everything, and wait without nodes is done at once", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  await using cp = await startCp(dir.join("cp"));
  const admin = ["--admin", cp.url("admin")];
  await writeFile(
    dir.join("kong.yml"),
    JSON.stringify({
      _format_version: "3.0",
      services: [
        {
          name: "s",
          url: `http://127.0.0.1:${upstream.port}`,
          routes: [{ name: "r", paths: ["/"] }],
        },
      ],
    }),
  );
  const applied = await holdfast(
    "apply",
    "-f",
    dir.join("kong.yml"),
    "--wait",
    "10s",
    ...admin,
  );
  expect(applied.code).toBe(0);
  await using dp = await startDp(dir.join("dp"), cp.address("sync"));
  await eventually(
    async () =>
      (await fetch(dp.url("proxy", "/x"))).status === 200 || undefined,
    "the route to be served",
  );
});
