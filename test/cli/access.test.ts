import { readFile, stat, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readTokenFile } from "../../src/cp/access/token-file.ts";
import { digestOf } from "../../src/cp/access/token.ts";
import { runCli } from "../support/cli.ts";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { TempDir } from "../support/temp-dir.ts";

let dir: TempDir;
let file: string;
beforeEach(async () => {
  dir = await TempDir.make();
  file = dir.join("tokens.yml");
});
afterEach(() => dir[Symbol.asyncDispose]());

const token = (...argv: readonly string[]) =>
  runCli(["token", ...argv, "--file", file]);
const create = async (name: string, ...roles: readonly string[]) => {
  const argv = roles.flatMap((role) => ["--role", role]);
  const made = await token("create", name, ...argv);
  expect(made.code, made.stderr).toBe(0);
  return made.stdout.trim();
};

describe("holdfast token", () => {
  test("prints a token once, and keeps only what it cannot be found from", async () => {
    const ci = await create("ci", "default=write", "*=read");
    expect(ci).toMatch(/^hf_[A-Za-z0-9_-]{43}$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const content = await readFile(file, "utf8");
    expect(content).not.toContain(ci.slice(3));
    expect(readTokenFile(content)).toMatchObject({
      ok: true,
      callers: [{ name: "ci", digest: digestOf(ci) }],
    });
  });

  test("adds and removes callers, and leaves the rest as it is", async () => {
    await create("ci", "default=write");
    await writeFile(file, `# who may\n${await readFile(file, "utf8")}`);
    const made = await token("create", "ann", "--role", "*=admin", "--days=9");
    expect(made.code).toBe(0);
    expect(await readFile(file, "utf8")).toMatch(/^# who may\n[^]*expires: /);
    expect((await token("create", "ann", "--role", "*=admin")).stderr).toMatch(
      /has a caller "ann" already/,
    );
    expect((await token("revoke", "ci")).code).toBe(0);
    expect((await token("revoke", "ci")).stderr).toMatch(/only ann/);
    expect(readTokenFile(await readFile(file, "utf8"))).toMatchObject({
      callers: [{ name: "ann" }],
    });
  });

  test("says what is wrong with a role, a name or a file", async () => {
    const role = await token("create", "ci", "--role", "default=root");
    expect(role).toMatchObject({ code: 2, stdout: "" });
    expect(role.stderr).toContain("read, write, admin");
    expect((await token("create", "ci")).code).toBe(2);
    expect((await token("create", "c i", "--role", "*=read")).code).toBe(2);
    await writeFile(file, "tokens: 1");
    expect(await token("create", "ci", "--role", "*=read")).toMatchObject({
      code: 1,
      stdout: "",
    });
  });
});

describe("a control plane with tokens", () => {
  let plane: CliControlPlane | undefined;
  afterEach(() => plane?.[Symbol.asyncDispose]());

  test("serves commands that have one, and writes down what they do", async () => {
    const writer = await create("ci", "default=write");
    const admin = await create("ann", "default=admin");
    plane = await CliControlPlane.start((own) => ({
      adminTokenFile: file,
      auditLog: own.join("audit.jsonl"),
    }));
    const run = (argv: readonly string[], env: Record<string, string>) =>
      runCli(argv, { env: { HOLDFAST_ADMIN: plane?.admin ?? "", ...env } });
    const apply = ["apply", "-f", dir.join("kong.yml")];
    await writeFile(
      dir.join("kong.yml"),
      "_format_version: '3.0'\nconsumers: [{username: u}]",
    );
    await writeFile(dir.join("ci.token"), `${writer}\n`);

    const none = await run(apply, {});
    expect(none).toMatchObject({ code: 1, stdout: "" });
    expect(none.stderr).toMatch(/UNAUTHENTICATED: .*HOLDFAST_TOKEN/);
    const done = await run(
      [...apply, "--token-file", dir.join("ci.token")],
      {},
    );
    expect(done.code, done.stderr).toBe(0);
    const refused = await run(["audit"], { HOLDFAST_TOKEN: writer });
    expect(refused.stderr).toMatch(/PERMISSION_DENIED/);
    const audit = await run(["audit", "--caller", "ci", "--method", "Apply"], {
      HOLDFAST_TOKEN: admin,
    });
    expect(audit.stdout).toMatch(
      /^TIME [^]*\n.* ci +127\.0\.0\.1 +default +Apply +ok +1 +create consumer u\n$/,
    );
    const { records } = JSON.parse(
      (await run(["audit", "-o", "json"], { HOLDFAST_TOKEN: admin })).stdout,
    ) as { records: { caller?: string; result: string }[] };
    // What was turned away at the door is about no workspace.
    expect(records.map(({ result }) => result)).toEqual(["ok"]);
    const live = await fetch(`http://${plane.admin}/status/live`);
    expect(live.status).toBe(200);

    const log = plane.dir.join("audit.jsonl");
    const lines = await eventually(async () => {
      const text = await readFile(log, "utf8");
      return text.includes('"permission_denied"') ? text : undefined;
    }, "the lines of the audit log");
    expect(lines).toMatch(/"caller":"ci".*"result":"ok"/);
    expect(lines).not.toContain(writer.slice(3));
  });
});

describe("a token for commands", () => {
  const list = ["get", "services", "--admin", "127.0.0.1:1"];

  test("is not taken on the command line, and never repeated", async () => {
    const made = await create("ci", "default=read");
    for (const argv of [["--token", made], [`--token=${made}`]]) {
      const done = await runCli([...list, ...argv]);
      expect(done.code).toBe(2);
      expect(done.stderr).toContain("HOLDFAST_TOKEN");
      expect(done.stderr).not.toContain(made);
    }
    const wrong = await runCli(list, { env: { HOLDFAST_TOKEN: "hunter2" } });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).not.toContain("hunter2");
    await writeFile(dir.join("config.yml"), `token: ${made}`);
    const config = await runCli([...list, "--config", dir.join("config.yml")]);
    expect(config.code).toBe(2);
    expect(config.stderr).not.toContain(made);
  });

  test("goes out in clear text to another machine with a warning only", async () => {
    const made = await create("ci", "default=read");
    const env = { HOLDFAST_TOKEN: made };
    const away = ["get", "services", "--admin", "http://holdfast.invalid:1"];
    expect((await runCli(away, { env })).stderr).toMatch(/is not https/);
    expect((await runCli(list, { env })).stderr).not.toMatch(/is not https/);
  });
});

describe("holdfast cp", () => {
  const cp = (...argv: readonly string[]) =>
    runCli(["cp", "--data-dir", dir.join("cp"), "--insecure-sync", ...argv]);

  test.each([
    [["--admin-listen", "0.0.0.0:0"], "can be reached from other machines"],
    [
      ["--admin-listen", "0.0.0.0:0", "--admin-cert", "c", "--admin-key", "k"],
      "can be reached from other machines",
    ],
    [["--admin-cert", "c"], "--admin-key is needed"],
    [["--admin-client-ca", "c"], "needs --admin-cert"],
    [["--admin-crl", "c"], "needs --admin-client-ca"],
  ])("ends with 2 for %j", async (argv, reason) => {
    const done = await cp(...argv);
    expect(done).toMatchObject({ code: 2, stdout: "" });
    expect(done.stderr).toContain(reason);
  });

  test("holdfast up serves this machine only", async () => {
    const done = await runCli(["up", "--admin-listen", "0.0.0.0:0"]);
    expect(done.code).toBe(2);
    expect(done.stderr).toContain("asks nobody who they are");
  });
});
