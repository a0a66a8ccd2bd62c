import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BadRequestSchema } from "../../src/gen/google/rpc/error_details_pb.js";
import {
  ApplyRequestSchema,
  type ApplyRequest,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { runCli, startCli } from "../support/cli.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "holdfast-apply-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const change = (action: string, name: string) => ({
  kind: "route",
  id: "6f1c0000-0000-4000-8000-000000000000",
  name,
  action,
});

/** Answers every apply with these changes and notes what it was asked. */
async function applying(changes: ReturnType<typeof change>[]) {
  const requests: ApplyRequest[] = [];
  const plane = await scriptedControlPlane({
    config: {
      apply(request) {
        requests.push(request);
        return { revision: 7n, changes };
      },
    },
  });
  return { ...plane, requests };
}

const stdin = '_format_version: "3.0"\n';

test("files go as they are, under the names they were given", async () => {
  await using plane = await applying([change("create", "a")]);
  const file = path.join(folder, "kong.yml");
  writeFileSync(file, "# ü\n");
  const { code, stdout } = await runCli(
    [
      "apply",
      "-f",
      file,
      "-f",
      "-",
      "--author",
      "me",
      "--message",
      "why",
      "--admin",
      plane.admin,
    ],
    { stdin },
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ACTION +KIND +NAME +ID\ncreate +route +a +6f1c/);
  expect(stdout).toContain("revision 7: 1 created\n");
  expect(plane.requests).toHaveLength(1);
  expect(plane.requests[0]).toMatchObject({
    workspace: "default",
    files: [
      { name: file, content: "# ü\n" },
      { name: "stdin", content: stdin },
    ],
    prune: false,
    dryRun: false,
    allowMassDelete: false,
    author: "me",
    message: "why",
  });
});

test("-o json prints the answer of the RPC with the names of the .proto file", async () => {
  await using plane = await applying([change("update", "a")]);
  const { stdout } = await runCli(
    ["apply", "-f", "-", "-o", "json", "--admin", plane.admin],
    { stdin },
  );
  expect(JSON.parse(stdout)).toEqual({
    revision: "7",
    changes: [change("update", "a")],
  });
});

test("a large file goes in parts that are one request together", async () => {
  const parts: Uint8Array[] = [];
  await using plane = await scriptedControlPlane({
    config: {
      async applyStream(stream) {
        for await (const { data } of stream) parts.push(data);
        return { revision: 8n };
      },
    },
  });
  const large = `# ${"x".repeat(5 * 1024 * 1024)}\n`;
  const { code, stdout } = await runCli(
    ["apply", "-f", "-", "--prune", "--yes", "--admin", plane.admin],
    { stdin: large },
  );
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: "revision 8: no changes\n",
  });
  expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(
    256 * 1024,
  );
  const request = fromBinary(ApplyRequestSchema, Buffer.concat(parts));
  expect(request.files[0]?.content).toBe(large);
  expect(request).toMatchObject({ prune: true, allowMassDelete: true });
});

test("a file that is not there, or is no text, is named", async () => {
  const missing = path.join(folder, "none.yml");
  expect(await runCli(["apply", "-f", missing])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`cannot read ${missing}: ENOENT`) as string,
  });
  const binary = path.join(folder, "binary.yml");
  writeFileSync(binary, Buffer.from([0xff, 0xfe, 0x00]));
  expect(await runCli(["apply", "-f", binary])).toMatchObject({
    code: 1,
    stderr: `holdfast apply: ${binary} is not UTF-8 text\n`,
  });
});

describe("--prune", () => {
  const changes = [change("delete", "old"), change("create", "new")];
  const file = () => {
    const name = path.join(folder, "prune.yml");
    writeFileSync(name, stdin);
    return name;
  };

  test("shows what it deletes, asks, and on yes does it", async () => {
    await using plane = await applying(changes);
    const { code, stderr, stdout } = await runCli(
      ["apply", "-f", file(), "--prune", "--admin", plane.admin],
      { terminal: true, stdin: "y\n" },
    );
    expect(code).toBe(0);
    expect(stderr).toMatch(/delete +route +old/);
    expect(stderr).not.toMatch(/create +route/);
    expect(stderr).toContain("Delete them, besides 1 other changes? [y/N]");
    expect(stdout).toContain("revision 7: 1 created, 1 deleted");
    expect(plane.requests.map(({ dryRun }) => dryRun)).toEqual([true, false]);
    expect(plane.requests[1]?.allowMassDelete).toBe(true);
  });

  test.each(["n\n", "\n", "", "yep\n"])(
    "changes nothing when the answer is %j",
    async (answer) => {
      await using plane = await applying(changes);
      const { code, stderr } = await runCli(
        ["apply", "-f", file(), "--prune", "--admin", plane.admin],
        { terminal: true, stdin: answer },
      );
      expect(code).toBe(1);
      expect(stderr).toContain("not confirmed, nothing was changed");
      expect(plane.requests.map(({ dryRun }) => dryRun)).toEqual([true]);
    },
  );

  test("without a terminal ends with 1, says so and changes nothing", async () => {
    await using plane = await applying(changes);
    const { code, stderr } = await runCli([
      "apply",
      "-f",
      file(),
      "--prune",
      "--admin",
      plane.admin,
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain("There is no terminal to answer on");
    expect(stderr).toContain("--yes");
    expect(plane.requests.map(({ dryRun }) => dryRun)).toEqual([true]);
  });

  test("without a terminal goes on when it deletes nothing", async () => {
    await using plane = await applying([change("create", "a")]);
    const { code } = await runCli([
      "apply",
      "-f",
      file(),
      "--prune",
      "--admin",
      plane.admin,
    ]);
    expect(code).toBe(0);
    expect(plane.requests.map(({ dryRun }) => dryRun)).toEqual([true, false]);
  });

  test("--yes asks nothing and allows mass deletion", async () => {
    await using plane = await applying(changes);
    const { code } = await runCli([
      "apply",
      "-f",
      file(),
      "--prune",
      "--yes",
      "--admin",
      plane.admin,
    ]);
    expect(code).toBe(0);
    expect(plane.requests).toMatchObject([
      { dryRun: false, allowMassDelete: true },
    ]);
  });

  test("--dry-run shows and asks nothing", async () => {
    await using plane = await applying(changes);
    const { code, stdout } = await runCli([
      "apply",
      "-f",
      file(),
      "--prune",
      "--dry-run",
      "--admin",
      plane.admin,
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      "dry run: 1 created, 1 deleted, nothing was changed\n",
    );
    expect(plane.requests.map(({ dryRun }) => dryRun)).toEqual([true]);
  });
});

describe("what goes wrong at the control plane", () => {
  const refusing = (error: ConnectError) =>
    scriptedControlPlane({
      config: {
        apply() {
          throw error;
        },
      },
    });
  const problem = (field: string, description: string) => ({
    field,
    description,
  });

  test("every violation is printed, one a line", async () => {
    const detail = create(BadRequestSchema, {
      fieldViolations: [
        problem("", 'kong.yml:3:5: route "a": paths[0]: must start with "/"'),
        problem("name", "is taken"),
        problem("x", "\u001b[31mred\nline"),
      ],
    });
    await using plane = await refusing(
      new ConnectError("three things", Code.InvalidArgument, undefined, [
        { desc: BadRequestSchema, value: detail },
      ]),
    );
    const { code, stdout, stderr } = await runCli(
      ["apply", "-f", "-", "--admin", plane.admin],
      { stdin },
    );
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.split("\n")).toEqual([
      "holdfast apply: INVALID_ARGUMENT: three things",
      '  kong.yml:3:5: route "a": paths[0]: must start with "/"',
      "  name: is taken",
      "  x: \u{fffd}[31mred\u{fffd}line",
      "",
    ]);
  });

  test.each([
    [Code.FailedPrecondition, "FAILED_PRECONDITION"],
    [Code.ResourceExhausted, "RESOURCE_EXHAUSTED"],
    [Code.Aborted, "ABORTED"],
    [Code.NotFound, "NOT_FOUND"],
  ])("code %d is called %s, with the message", async (code, name) => {
    await using plane = await refusing(new ConnectError("why not", code));
    const run = await runCli(["apply", "-f", "-", "--admin", plane.admin], {
      stdin,
    });
    expect(run).toMatchObject({
      code: 1,
      stderr: `holdfast apply: ${name}: why not\n`,
    });
  });

  test("nobody there: the address and what to do", async () => {
    const plane = await scriptedControlPlane({});
    await plane[Symbol.asyncDispose]();
    const { code, stderr } = await runCli([
      "get",
      "routes",
      "--admin",
      plane.admin,
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `cannot reach the control plane at ${plane.admin}: nothing listens there (connection refused)`,
    );
    expect(stderr).toContain("--admin");
  });

  test("another kind of server there", async () => {
    await using plane = await scriptedControlPlane({});
    const { code, stderr } = await runCli([
      "get",
      "routes",
      "--admin",
      `${plane.admin}/elsewhere`,
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain("is no control plane of this version");
  });

  test("interrupted meanwhile: says so and ends with 1", async () => {
    let asked: (() => void) | undefined;
    const entered = new Promise<void>((resolve) => (asked = resolve));
    await using plane = await scriptedControlPlane({
      config: {
        apply: (_, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () =>
              reject(signal.reason as Error),
            );
            asked?.();
          }),
      },
    });
    const cli = startCli(["apply", "-f", "-", "--admin", plane.admin], {
      stdin,
    });
    await entered;
    cli.stop();
    expect(await cli.ended).toBe(1);
    expect(cli.stderr()).toBe("holdfast apply: interrupted\n");
  });
});
