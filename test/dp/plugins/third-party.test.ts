import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { findPluginModule } from "../../../src/dp/plugins/modules/find-module.ts";
import { loadPlugins } from "../../../src/dp/plugins/modules/load-plugins.ts";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway } from "../../support/gateway.ts";
import { TempDir } from "../../support/temp-dir.ts";
import { Upstream } from "../../support/upstream.ts";

const example = fileURLToPath(
  new URL("../../../examples/plugin", import.meta.url),
);
const NAME = "holdfast-plugin-api-version";

/** What a module that is written for a test comes to. */
async function loaded(source: string): Promise<unknown> {
  await using temp = await TempDir.make();
  const path = temp.join("plugin.mjs");
  await writeFile(path, source);
  return await loadPlugins([{ name: "mine", url: pathToFileURL(path).href }]);
}

test("a package is found where it is installed, from below too, and serves requests as a plugin of ours does", async () => {
  await using temp = await TempDir.make();
  const folder = temp.path;
  const below = join(folder, "some", "where");
  await mkdir(below, { recursive: true });
  await mkdir(join(folder, "node_modules"));
  await symlink(example, join(folder, "node_modules", NAME));
  const url = findPluginModule(NAME, below);
  const plugins = await loadPlugins([{ name: NAME, url }]);
  await using upstream = await Upstream.start();
  const state = (config: object): Resource[] => [
    ...api(upstream.port),
    routePlugin(3, "api-version", config),
  ];
  await using gateway = await TestGateway.start(
    state({ supported: ["1", "2"], deprecated: ["1"] }),
    { plugins },
  );
  expect(gateway.gateway.features).toContainEqual({
    name: "plugin/api-version",
    version: 1,
  });
  const old = await gateway.ask("/api", {
    headers: { "x-api-version": "1" },
  });
  expect(old).toMatchObject({
    status: 200,
    headers: { deprecation: "true", "x-api-version": "1" },
  });
  expect(old.json<{ headers: object }>().headers).toMatchObject({
    "x-api-version": "1",
  });
  const none = await gateway.ask("/api");
  expect(none.status).toBe(400);
  expect(none.json()).toMatchObject({
    message: "X-API-Version must be one of 1, 2",
  });
  await expect(
    gateway.serve(state({ supported: ["1"], fallback: "2" })),
  ).rejects.toThrow("config.fallback");
});

test("the example's own tests pass", async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--test", "--test-reporter=tap"],
    { cwd: example, env: { PATH: process.env["PATH"] } },
  );
  expect(stdout).toMatch(/^# pass [1-9]/m);
  expect(stdout).toMatch(/^# fail 0/m);
}, 60_000);

test.each([
  ["no-such-package-anywhere", "no such package is installed"],
  ["./nowhere.js", "neither a file nor a package"],
  ["../..", "neither a file nor a package"],
  ["what is this", "neither the name of an npm package nor a path"],
])("%s is not found, and that is said", async (name, reason) => {
  await using temp = await TempDir.make();
  const folder = temp.path;
  expect(() => findPluginModule(name, folder)).toThrow(reason);
});

test.each([
  [{ exports: "./a.js" }, "a.js"],
  [{ exports: { ".": { require: "./no.js", import: "./a.js" } } }, "a.js"],
  [{ exports: { types: "./a.d.ts", default: "./a.js" } }, "a.js"],
  [{ main: "a.js" }, "a.js"],
  [{}, "index.js"],
])("a package that says %j is imported by %s", async (described, file) => {
  await using temp = await TempDir.make();
  const folder = temp.path;
  const home = join(folder, "node_modules", "@me", "plugin");
  await mkdir(home, { recursive: true });
  await writeFile(join(home, "package.json"), JSON.stringify(described));
  await writeFile(join(home, file), "");
  expect(findPluginModule("@me/plugin", folder)).toBe(
    pathToFileURL(join(home, file)).href,
  );
});

test.each([
  ["throw new Error('broken')", "cannot be imported: broken"],
  ["export const other = 1", "exports no plugin"],
  [
    "export const plugin = { name: 'A b', version: 0, priority: 'x' }",
    '"name" must be small letters, digits and hyphens; "version" must be a whole number from 1; "priority" must be a number; "create" must be a function; it must have either "schema" or "validate"',
  ],
  [
    "export default { name: 'cors', version: 1, priority: 1, validate() {}, create() {} }",
    '"cors" is there already: Holdfast itself has it',
  ],
])("a module with %s is refused with the reason", async (source, reason) => {
  await expect(loaded(source)).rejects.toThrow(reason);
});

test("whatever a plugin's validate and create do, the state is refused and the one before stays", async () => {
  const plugins = (await loaded(
    "export const plugin = { name: 'odd', version: 1, priority: 1, validate({ how }) { if (how === 'throw') throw new Error('validate threw'); if (how === 'text') return ['just text']; if (how === 'what') return 7 }, create({ how }) { if (how === 'create') throw new Error('create threw'); if (how === 'nothing') return; return {} } }",
  )) as Awaited<ReturnType<typeof loadPlugins>>;
  await using upstream = await Upstream.start();
  const state = (how: string) => [
    ...api(upstream.port),
    routePlugin(3, "odd", { how }),
  ];
  await using gateway = await TestGateway.start(state("well"), { plugins });
  for (const [how, reason] of [
    ["throw", "validate threw"],
    ["text", "just text"],
    ["what", "must return a list of problems"],
    ["create", "create threw"],
    ["nothing", "must return an object"],
  ] as const)
    await expect(gateway.serve(state(how))).rejects.toThrow(reason);
  expect((await gateway.ask("/api")).status).toBe(200);
});
