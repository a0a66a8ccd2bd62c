import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { readStateFile } from "../../src/dp/replica/last-good.ts";
import { runCli } from "../support/cli.ts";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { RSA_CERT, RSA_KEY } from "../support/certificates.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

vi.setConfig({ testTimeout: 60_000 });

let plane: CliControlPlane;
beforeEach(async () => {
  plane = await CliControlPlane.start();
});
afterEach(async () => {
  await plane[Symbol.asyncDispose]();
});

const CONFIGURATION = `
_format_version: "3.0"
services:
  - name: pay
    url: https://127.0.0.1:9000/api
    tags: ["012", "yes"]
    routes:
      - name: pay
        paths: [/pay]
        headers: {x-version: ["1:30"]}
    plugins:
      - name: hmac-auth
        config: {minute: 5, "on": "no", nothing: null, list: [1e21, {a: []}]}
upstreams:
  - name: bank
    targets: [{target: 10.0.0.1}]
certificates:
  - cert: |
${RSA_CERT.replaceAll(/^/gm, "      ")}
    key: |
${RSA_KEY.replaceAll(/^/gm, "      ")}
    snis: [{name: a.example}]
consumers:
  - username: ann
    custom_id: "2024-01-01"
    keyauth_credentials: [{key: secret-of-ann}]
    basicauth_credentials: [{username: ann, password: open-sesame}]
    jwt_secrets: [{key: k, secret: s}]
    acls: [{group: g}]
    plugins: [{name: correlation-id}]
  - username: bob
`;

const FEWER = '_format_version: "3.0"\nconsumers:\n  - username: bob\n';

/** The newest cursor. */
async function cursorOf(where: CliControlPlane): Promise<unknown> {
  const { revisions } = (await where.json("history", "--limit", "1")) as {
    revisions: { cursor: { root: string } }[];
  };
  return revisions[0]?.cursor;
}

describe("dump", () => {
  test("applied to an empty control plane gives the same root, and twice changes nothing", async () => {
    await plane.apply(CONFIGURATION);
    const { code, stdout, stderr } = await plane.run(["dump"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^wrote revision 1 \(14 resources\)\. Note: .*clear/,
    );
    expect(stdout).toMatch(/^_format_version: "3.0"\n_transform: false\n/);
    expect(stdout).toContain("key: secret-of-ann\n");
    expect(stdout).toContain("-----BEGIN PRIVATE KEY-----");
    expect(stdout).toMatch(/password: "\$scrypt\$/);
    expect(stdout).not.toMatch(/open-sesame|created_at|updated_at/);
    await using other = await CliControlPlane.start();
    await other.apply(stdout);
    expect(await cursorOf(other)).toMatchObject({
      revision: "1",
      root: ((await cursorOf(plane)) as { root: string }).root,
    });
    const again = await other.run(["diff", "-f", "-", "--prune"], {
      stdin: stdout,
    });
    expect(again).toMatchObject({ code: 0, stdout: "no differences\n" });
    expect((await other.run(["dump"])).stdout).toBe(stdout);
  });

  test("writes a file that only its owner can read, whatever stood there", async () => {
    await plane.apply(CONFIGURATION);
    const file = plane.dir.join("dump.yml");
    await writeFile(file, "old", { mode: 0o644 });
    const { code, stdout, stderr } = await plane.run(["dump", "-o", file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toContain(`to ${file}. Note: it has the keys`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, "utf8")).toBe(
      (await plane.run(["dump", "-o", "-"])).stdout,
    );
  });

  test("an empty configuration is an empty file", async () => {
    const { stdout } = await plane.run(["dump"]);
    expect(stdout).toBe('_format_version: "3.0"\n_transform: false\n');
  });

  test("a file that cannot be written is named", async () => {
    const file = plane.dir.join("none", "dump.yml");
    const { code, stderr } = await plane.run(["dump", "-o", file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot write ${file}: ENOENT`);
  });
});

describe("export-snapshot", () => {
  test("writes what a data plane reads as the same state", async () => {
    await plane.apply(CONFIGURATION);
    await plane.apply(CONFIGURATION.replace("/pay]", "/buy]"));
    const file = plane.dir.join("edge.hfs");
    const { code, stdout, stderr } = await plane.run([
      "export-snapshot",
      "-o",
      file,
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toContain("wrote revision 2");
    const state = await readStateFile(file);
    const { epoch, revision, root } = (await cursorOf(plane)) as Record<
      string,
      string
    >;
    expect(state?.cursor).toMatchObject({ epoch, revision: 2n, root });
    expect(revision).toBe("2");
    expect(state?.snapshot).toMatchObject({
      workspace: "default",
      entryCount: 14,
      root,
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test("an empty workspace has a snapshot too", async () => {
    const file = plane.dir.join("empty.hfs");
    expect((await plane.run(["export-snapshot", "-o", file])).code).toBe(0);
    expect((await readStateFile(file))?.snapshot.entryCount).toBe(0);
  });

  test("another root than the control plane's is refused with both, and nothing is written", async () => {
    const root = "0".repeat(64);
    await using other = await scriptedControlPlane({
      config: {
        async *export() {
          yield { cursor: { epoch: "e", revision: 3n, root } };
        },
      },
    });
    const file = plane.dir.join("wrong.hfs");
    const { code, stderr } = await runCli([
      "export-snapshot",
      "-o",
      file,
      "--admin",
      other.admin,
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`has root [0-9a-f]{64} here and root ${root} at .*revision 3`),
    );
    await expect(stat(file)).rejects.toThrow("ENOENT");
  });
});

describe("diff", () => {
  test("groups what apply would do, changes nothing and ends with 3", async () => {
    await plane.apply(CONFIGURATION);
    const stdin = `${CONFIGURATION.replace("/pay]", "/buy]").replace("bob", "eve")}  - username: joe\n`;
    const { code, stdout } = await plane.run(["diff", "-f", "-"], { stdin });
    expect(code).toBe(3);
    expect(stdout).toBe(
      [
        "+ consumer  eve",
        "+ consumer  joe",
        "~ route     pay",
        '    paths[0]: "/pay" -> "/buy"',
        "2 to create, 1 to update",
        "",
      ].join("\n"),
    );
    const terminal = { stdin, terminal: true };
    const painted = (await plane.run(["diff", "-f", "-"], terminal)).stdout;
    expect(painted).toContain("\u001b[32m+ consumer  eve\u001b[0m\n");
    const env = { HOLDFAST_ADMIN: plane.admin, NO_COLOR: "1" };
    expect(
      (await plane.run(["diff", "-f", "-"], { ...terminal, env })).stdout,
    ).toBe(stdout);
    const pruned = await plane.run(["diff", "-f", "-", "--prune"], { stdin });
    expect(pruned.stdout).toMatch(
      /\n- consumer {2}bob\n2 to create, 1 to update, 1 to delete\n$/,
    );
    expect(await cursorOf(plane)).toMatchObject({ revision: "1" });
  });

  test("-o json prints what apply --dry-run prints, also of a mass deletion", async () => {
    const many = Array.from({ length: 30 }, (_, i) => `- username: c${i}`);
    await plane.apply(
      ['_format_version: "3.0"', "consumers:", ...many].join("\n"),
    );
    for (const format of ["json", "yaml"]) {
      const flags = ["-f", "-", "--prune", "-o", format];
      const diff = await plane.run(["diff", ...flags], { stdin: FEWER });
      const dry = await plane.run(["apply", "--dry-run", ...flags], {
        stdin: FEWER,
      });
      expect(diff.code).toBe(3);
      expect(dry).toMatchObject({ code: 0, stdout: diff.stdout });
    }
    expect(await cursorOf(plane)).toMatchObject({ revision: "1" });
  });

  test("nothing to do ends with 0", async () => {
    await plane.apply(CONFIGURATION);
    for (const more of [[], ["--prune"]])
      expect(
        await plane.run(["diff", "-f", "-", ...more], { stdin: CONFIGURATION }),
      ).toMatchObject({ code: 0, stdout: "no differences\n" });
  });

  test("what cannot be applied is shown with everything that is wrong, and ends with 1", async () => {
    await plane.apply(CONFIGURATION);
    const stdin = `${CONFIGURATION.replace("[/pay]", "[pay]")}  - username: eve\n`;
    const { stderr } = await plane.run(["apply", "-f", "-"], { stdin });
    const [, problem = ""] = /(stdin:\d+:\d+: .*)/.exec(stderr) ?? [];
    expect(problem).toContain('must start with "/"');
    for (const command of [["diff"], ["apply", "--dry-run"]]) {
      const tried = await plane.run([...command, "-f", "-"], { stdin });
      expect(tried.code).toBe(1);
      expect(tried.stdout).toContain(
        '+ consumer  eve\n~ route     pay\n    paths[0]: "/pay" -> "pay"\n',
      );
      expect(tried.stderr).toContain("would be refused, with 1 problem:\n");
      expect(tried.stderr).toContain(problem);
    }
    const json = await plane.run(["diff", "-f", "-", "-o", "json"], { stdin });
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({
      changes: [{ name: "eve" }, { name: "pay" }],
      violations: [{ field: "paths[0]" }],
    });
    expect(await cursorOf(plane)).toMatchObject({ revision: "1" });
  });
});

describe("apply --prune", () => {
  test("a mass deletion needs --yes, which is enough; a dry run shows it", async () => {
    const many = Array.from({ length: 30 }, (_, i) => `- username: c${i}`);
    await plane.apply(
      ['_format_version: "3.0"', "consumers:", ...many].join("\n"),
    );
    const argv = ["apply", "-f", "-", "--prune"];
    const refused = await plane.run(argv, { stdin: FEWER });
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("Delete them, besides 1 other changes?");
    expect(refused.stderr).toContain("There is no terminal to answer on");
    const dry = await plane.run([...argv, "--dry-run"], { stdin: FEWER });
    expect(dry.stdout).toContain("dry run: 1 created, 30 deleted");
    expect(await cursorOf(plane)).toMatchObject({ revision: "1" });
    const done = await plane.run([...argv, "--yes"], { stdin: FEWER });
    expect(done.stdout).toContain("revision 2: 1 created, 30 deleted\n");
  });

  test("deletions that follow more creations than an answer can list are asked about all the same", async () => {
    await plane.apply(CONFIGURATION);
    const name = "n".repeat(400);
    const many = Array.from(
      { length: 3500 },
      (_, i) => `- username: ${name}${i}`,
    );
    const stdin = ['_format_version: "3.0"', "consumers:", ...many].join("\n");
    const refused = await plane.run(["apply", "-f", "-", "--prune"], { stdin });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^delete +service +pay/m);
    expect(refused.stderr).toMatch(/only \d+ of 3514 changes are listed/);
    expect(await cursorOf(plane)).toMatchObject({ revision: "1" });
  });

  test("--wait without nodes is done at once and says so", async () => {
    const { code, stdout, stderr } = await plane.run(
      ["apply", "-f", "-", "--wait", "5s"],
      { stdin: FEWER },
    );
    expect(code).toBe(0);
    expect(stdout).toContain("revision 1: 1 created");
    expect(stderr).toContain("no node is connected");
  });

  test("--wait and --dry-run do not go together", async () => {
    const { code } = await plane.run(
      ["apply", "-f", "-", "--wait", "5s", "--dry-run"],
      { stdin: FEWER },
    );
    expect(code).toBe(2);
  });
});

test("what takes longer than a second is said on a terminal, and gone in the end", async () => {
  let finish = () => {};
  const shown = new Promise<void>((resolve) => (finish = resolve));
  await using slow = await scriptedControlPlane({
    config: {
      async apply() {
        await shown;
        return { revision: 1n };
      },
    },
  });
  const file = plane.dir.join("kong.yml");
  await writeFile(file, FEWER);
  const { admin } = slow;
  const cli = plane.start(["diff", "-f", file, "--admin", admin], {
    terminal: true,
  });
  await cli.until(/comparing the files … 1 s/);
  finish();
  expect(await cli.ended).toBe(0);
  expect(cli.stderr()).toMatch(/^\rcomparing the files … 1 s.*\r +\r$/);
});

describe("files", () => {
  const HEAD = '_format_version: "3.0"\n';

  test("of a folder are one configuration, with values of the environment in it", async () => {
    await mkdir(plane.dir.join("gateway/.git"), { recursive: true });
    await mkdir(plane.dir.join("gateway/pay"));
    const write = (name: string, text: string) =>
      writeFile(plane.dir.join(`gateway/${name}`), text);
    await write("a.yml", `${HEAD}_info: {select_tags: [pay]}\n`);
    await write(
      "pay/s.yaml",
      `${HEAD}services: [{name: s, host: "\${{ env "DECK_HOST" }}"}]`,
    );
    await write(
      "pay/r.json",
      '{"_format_version": "3.0", "routes": [{"name": "r", "paths": ["/r"], "service": "s"}]}',
    );
    await write(".git/x.yml", "not: ours");
    await write("README.md", "nor this");
    const argv = ["apply", "-f", plane.dir.join("gateway")];
    const unset = await plane.run(argv);
    expect(unset.code).toBe(1);
    expect(unset.stderr).toMatch(
      /s\.yaml:2:29: DECK_HOST is not set in the environment\n$/,
    );
    const env = { HOLDFAST_ADMIN: plane.admin, DECK_HOST: "pay.internal" };
    expect(await plane.run(argv, { env })).toMatchObject({ code: 0 });
    expect(await plane.json("get", "service", "s")).toMatchObject({
      service: { host: "pay.internal", tags: ["pay"] },
    });
    const empty = await plane.run(["validate", "-f", plane.dir.join("cp")]);
    expect(empty.stderr).toMatch(/there is no file in .* that ends in \.yml/);
  });

  test("are pruned within their tags, from a file or a flag", async () => {
    await plane.apply(`${HEAD}consumers: [{username: theirs}]`);
    const both = `${HEAD}consumers: [{username: a}, {username: b}]`;
    const tagged = ["-f", "-", "--select-tag", "t", "--prune", "--yes"];
    await plane.run(["apply", ...tagged], { stdin: both });
    const one = `${HEAD}_info: {select_tags: [t]}\nconsumers: [{username: a}]`;
    const diff = await plane.run(["diff", "-f", "-", "--prune"], {
      stdin: one,
    });
    expect(diff.stdout).toBe("- consumer  b\n1 to delete\n");
    await plane.run(["apply", ...tagged], { stdin: one });
    expect(await plane.json("get", "consumers")).toMatchObject({
      resources: expect.toSatisfy(
        (all: unknown[]) => all.length === 2,
      ) as unknown,
    });
    const other = await plane.run(
      ["diff", "-f", "-", "--select-tag", "other"],
      { stdin: one },
    );
    expect(other.stderr).toContain("is t, and the request says other");
  });

  test("are named in messages with the places that they have on disk", async () => {
    const file = plane.dir.join("kong.yml");
    await writeFile(
      file,
      `${HEAD}services: [{name: $X, host: a, port: b}, {name: s, host: a}]\n`,
    );
    const env = { HOLDFAST_ADMIN: plane.admin, X: "a-very-long-name" };
    const told = new RegExp(`${file}:2:38: expected a whole number`);
    const refused = await plane.run(["apply", "-f", file, "--expand-vars"], {
      env,
    });
    expect(refused.stderr).toMatch(told);
    const found = await runCli(["validate", "-f", file, "--expand-vars"], {
      env,
    });
    expect(found.stdout).toMatch(
      /kong\.yml:2:38: service "a-very-long-name": port: expected/,
    );
  });

  test("are looked through for what nobody means", async () => {
    const stdin = `${HEAD}services: [{name: s, host: a, routes: [{name: r, paths: ["/a/(b)"]}]}]\nupstreams: [{name: u}]\n`;
    const found = await runCli(["lint", "-f", "-"], { stdin });
    expect(found).toMatchObject({ code: 3, stderr: "2 findings\n" });
    expect(found.stdout).toMatch(
      /^stdin:2:40: route "r": paths\[0\]: .* \(regex-without-tilde\)\nstdin:3:13: upstream "u": name: .* \(unused-upstream\)\n$/,
    );
    const ignored = [
      "--ignore",
      "unused-upstream",
      "--ignore",
      "regex-without-tilde",
    ];
    expect(
      await runCli(["lint", "-f", "-", ...ignored], { stdin }),
    ).toMatchObject({ code: 0, stdout: "" });
    expect(
      await runCli(["lint", "-f", "-"], { stdin: "services: [{}]" }),
    ).toMatchObject({ code: 1, stdout: "" });
    // Whether an upstream is used is not known before all could be read.
    const wrong = await runCli(["lint", "-f", "-"], {
      stdin: stdin.replace("upstreams: [", "upstreams: [{name: x, slots: y}, "),
    });
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toMatch(/^.* \(regex-without-tilde\)\n$/);
    expect(wrong.stderr).toContain("slots: expected a whole number");
  });
});
