import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";

const execute = promisify(execFile);
const top = path.join(import.meta.dirname, "../..");

/** Where somebody else works. */
let elsewhere: string;
beforeEach(async () => {
  elsewhere = await mkdtemp(path.join(tmpdir(), "holdfast-module-"));
});
afterEach(() => rm(elsewhere, { recursive: true }));

async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(program, args, { cwd: elsewhere });
  return stdout.trim();
}

const buf = (...args: string[]): Promise<string> =>
  run(path.join(top, "node_modules/.bin/buf"), ...args);

test("the proto folder of a checkout is a buf module, and its copy has all that it imports", async () => {
  await buf("export", path.join(top, "proto"), "-o", "copy");
  const copied = await readdir(path.join(elsewhere, "copy"), {
    recursive: true,
  });
  expect(copied).toContain("buf/validate/validate.proto");
  expect(copied).toContain("holdfast/sync/v1/sync.proto");
  await buf("build", "copy");
});

test("so is a version in a git repository", async (context) => {
  const repository = await run(
    "git",
    ...["-C", top, "rev-parse", "--path-format=absolute", "--git-common-dir"],
  ).catch(() => undefined);
  if (repository === undefined) {
    context.skip("this is no git checkout");
    return;
  }
  const commit = await run("git", "-C", top, "rev-parse", "HEAD");
  const module = `${repository}#ref=${commit},subdir=proto`;
  expect(await buf("ls-files", module, "--format=import")).toContain(
    "holdfast/admin/v1/config_service.proto",
  );
});

test("and what the npm package has, with the examples but not what is made from them", async () => {
  const packed = await run(
    "npm",
    ...["pack", top, "--dry-run", "--json", "--ignore-scripts"],
  );
  const [{ files: contents }] = JSON.parse(packed) as [
    { files: { path: string }[] },
  ];
  const names = contents.map((file) => file.path);
  expect(names).toEqual(
    expect.arrayContaining([
      "buf.yaml",
      "proto/README.md",
      "proto/holdfast/sync/v1/sync.proto",
      "proto/testdata/one-entry.json",
      "proto_vendor/buf/validate/validate.proto",
      "examples/clients/go/go.mod",
      "examples/clients/python/node.py",
      "examples/clients/typescript/change.ts",
    ]),
  );
  expect(
    names.filter((name) =>
      /^examples\/clients\/.*(\/gen\/|\/\.venv\/|__pycache__)/.test(name),
    ),
  ).toEqual([]);
});
