import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  startControlPlane,
  type ControlPlane,
} from "../../src/cp/control-plane.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { runCli, startCli, type CliOptions } from "../support/cli.ts";

let folder = "";
let plane: ControlPlane;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-cli-"));
  const loopback = { host: "127.0.0.1", port: 0 };
  plane = await startControlPlane(
    {
      adminListen: loopback,
      syncListen: loopback,
      dataDir: folder,
      insecureSync: true,
      build: "test",
    },
    { clock: systemClock, logger: silentLogger },
  );
});
afterEach(async () => {
  await plane[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Runs a command on the control plane. */
function holdfast(argv: readonly string[], options: CliOptions = {}) {
  const env = { HOLDFAST_ADMIN: plane.addresses.admin };
  return runCli(argv, { env, ...options });
}

/** Runs a command that prints JSON. */
async function json(...argv: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await holdfast([...argv, "-o", "json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

const CONFIGURATION = `
_format_version: "3.0"
services:
  - name: pay
    url: http://127.0.0.1:9000/api
    tags: [team-a]
    routes:
      - name: pay
        paths: [/pay]
consumers:
  - username: alice
    keyauth_credentials:
      - key: secret-of-alice
  - username: bob
    tags: [team-a]
`;

async function applied(content = CONFIGURATION): Promise<void> {
  const { code, stderr } = await holdfast(["apply", "-f", "-"], {
    stdin: content,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
}

describe("apply", () => {
  test("says what it created, and the second time that nothing changes", async () => {
    const first = await holdfast(["apply", "-f", "-"], {
      stdin: CONFIGURATION,
    });
    expect(first.stdout).toMatch(/^create +service +pay +[0-9a-f-]{36}$/m);
    expect(first.stdout).toContain("revision 1: 5 created\n");
    const second = await holdfast(["apply", "-f", "-"], {
      stdin: CONFIGURATION,
    });
    expect(second.stdout).toBe("revision 1: no changes\n");
  });

  test("reports every problem with file, line and entity, and applies nothing", async () => {
    const { code, stdout, stderr } = await holdfast(["apply", "-f", "-"], {
      stdin: CONFIGURATION.replace("[/pay]", "[pay]").replace(
        "username: bob",
        "usrname: bob",
      ),
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^holdfast apply: INVALID_ARGUMENT: /);
    expect(stderr).toMatch(/route "pay": paths\[0\]: stdin:9:\d+/);
    expect(stderr).toMatch(/usrname: stdin:14:\d+/);
    expect(await json("get", "services")).toEqual({ resources: [] });
  });

  test("--prune without a terminal deletes nothing, with --yes what the file does not name", async () => {
    await applied();
    const fewer = '_format_version: "3.0"\nconsumers:\n  - username: bob\n';
    const refused = await holdfast(["apply", "-f", "-", "--prune"], {
      stdin: fewer,
    });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^delete +route +pay/m);
    expect(refused.stderr).toContain("--yes");
    const done = await holdfast(["apply", "-f", "-", "--prune", "--yes"], {
      stdin: fewer,
    });
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1 updated, 4 deleted") as string,
    });
    expect(await json("get", "routes")).toEqual({ resources: [] });
  });

  test("a file over the size of one message arrives whole", async () => {
    const consumers = Array.from(
      { length: 3000 },
      (_, i) => `  - username: c${i}\n    custom_id: ${"x".repeat(400)}${i}\n`,
    );
    const comment = `# ${"y".repeat(3 * 1024 * 1024)}\n`;
    await applied(
      `_format_version: "3.0"\n${comment}consumers:\n${consumers.join("")}`,
    );
    const { resources } = (await json("get", "consumers")) as {
      resources: unknown[];
    };
    expect(resources).toHaveLength(3000);
  }, 60_000);
});

describe("get", () => {
  test("prints a table of a kind, in the plural or the singular", async () => {
    await applied();
    const { stdout } = await holdfast(["get", "routes"]);
    const [titles, row] = stdout.split("\n").map((line) => line.split(/ {2,}/));
    expect(titles).toEqual([
      "NAME",
      "PROTOCOLS",
      "METHODS",
      "HOSTS",
      "PATHS",
      "SERVICE",
      "ID",
    ]);
    expect(row?.slice(0, 4)).toEqual(["pay", "http,https", "/pay", "pay"]);
    expect((await holdfast(["get", "route"])).stdout).toBe(stdout);
    expect((await holdfast(["get", "services"])).stdout).toContain(
      "http://127.0.0.1:9000/api",
    );
  });

  test("prints one resource by name or id, for people as YAML, for programs as it can be put", async () => {
    await applied();
    const byName = (await json("get", "service", "pay")) as {
      service: { id: string };
    };
    expect(byName).toMatchObject({
      service: { name: "pay", host: "127.0.0.1", port: 9000, path: "/api" },
    });
    expect(await json("get", "service", byName.service.id)).toEqual(byName);
    const { stdout } = await holdfast(["get", "service", "pay"]);
    expect(stdout).toMatch(/^id: [0-9a-f-]{36}\nname: pay\n/);
  });

  test("shows secrets as *** unless they are asked for", async () => {
    await applied();
    const key = (value: string) => ({
      resources: [{ keyauth_credential: { key: value } }],
    });
    expect(await json("get", "keyauth-credentials")).toMatchObject(key("***"));
    expect(await json("get", "keyauth_credentials", "--secrets")).toMatchObject(
      key("secret-of-alice"),
    );
    for (const command of [
      ["get", "keyauth_credentials"],
      ["history", "1"],
      ["history", "1", "-o", "json"],
    ])
      expect((await holdfast(command)).stdout).not.toContain("secret-of");
  });

  test("--tag keeps only what has all the tags", async () => {
    await applied();
    expect(await json("get", "consumers", "--tag", "team-a")).toMatchObject({
      resources: [{ consumer: { username: "bob" } }],
    });
  });

  test("what is not there ends with 1 and says so once", async () => {
    const { code, stdout, stderr } = await holdfast(["get", "route", "none"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^holdfast get: NOT_FOUND: .*"none".*\n$/);
    const id = "6f1c0000-0000-4000-8000-000000000000";
    expect((await holdfast(["get", "route", id])).stderr).toContain(id);
  });

  test("a workspace that does not exist ends with 1", async () => {
    const { code, stderr } = await holdfast([
      "get",
      "routes",
      "--workspace",
      "none",
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain("NOT_FOUND");
  });
});

describe("delete", () => {
  test("shows what goes with it, asks, and deletes on yes", async () => {
    await applied();
    const { code, stdout, stderr } = await holdfast(
      ["delete", "consumer", "alice"],
      { terminal: true, stdin: "yes\n" },
    );
    expect(stderr).toMatch(/^delete +keyauth_credential/m);
    expect(stderr).toContain("Delete these 2 resources? [y/N]");
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "revision 2: 2 deleted\n",
    });
    expect(await json("get", "keyauth_credentials")).toEqual({
      resources: [],
    });
  });

  test("without a terminal and without --yes deletes nothing and ends with 1", async () => {
    await applied();
    const { code, stderr } = await holdfast(["delete", "consumer", "alice"]);
    expect(code).toBe(1);
    expect(stderr).toContain("There is no terminal");
    expect(await json("get", "consumer", "alice")).toMatchObject({
      consumer: { username: "alice" },
    });
  });

  test("--yes asks nothing; author and message are kept in the history", async () => {
    await applied();
    const { code } = await holdfast([
      "delete",
      "route",
      "pay",
      "--yes",
      "--author",
      "me",
      "--message",
      "why",
    ]);
    expect(code).toBe(0);
    expect(await json("history", "--limit", "1")).toMatchObject({
      revisions: [{ cursor: { revision: "2" }, author: "me", message: "why" }],
    });
  });

  test("what others refer to stays, and the reason is printed", async () => {
    await applied();
    const { code, stderr } = await holdfast([
      "delete",
      "service",
      "pay",
      "--yes",
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain("FAILED_PRECONDITION");
    expect(stderr).toContain('route "pay"');
  });

  test("what changed since it was shown is not deleted unseen", async () => {
    await applied();
    const stdin = new PassThrough();
    const cli = startCli(["delete", "consumer", "alice"], {
      terminal: true,
      env: { HOLDFAST_ADMIN: plane.addresses.admin },
      stdin,
    });
    await cli.until(/\[y\/N\]/);
    await holdfast(["delete", "consumer", "bob", "--yes"]);
    stdin.end("y\n");
    expect(await cli.ended).toBe(1);
    expect(cli.stderr()).toContain("ABORTED");
    expect(await json("get", "consumer", "alice")).toMatchObject({});
  });
});

describe("history and rollback", () => {
  async function threeRevisions(): Promise<void> {
    await applied();
    await applied(CONFIGURATION.replace("/pay]", "/pay, /buy]"));
    await applied(
      CONFIGURATION.replace("secret-of-alice", "secret-of-alice-2"),
    );
  }

  test("the history is newest first and says how much each revision changed", async () => {
    await threeRevisions();
    const { stdout } = await holdfast(["history", "--limit", "2"]);
    const rows = stdout.trimEnd().split("\n");
    expect(rows).toHaveLength(3);
    expect(rows[0]).toMatch(/^REVISION +TIME +AUTHOR +CHANGES +MESSAGE$/);
    expect(rows[1]).toMatch(/^3 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/);
    expect(rows[2]).toMatch(/^2 .* 1 updated/);
  });

  test("one revision says which fields changed, before and after", async () => {
    await threeRevisions();
    const { stdout } = await holdfast(["history", "2"]);
    expect(stdout).toMatch(/^revision 2 {2}/);
    expect(stdout).toContain('update route "pay"');
    expect(stdout).toContain('  paths[1]: (unset) -> "/buy"\n');
    const { code, stderr } = await holdfast(["history", "99"]);
    expect(code).toBe(1);
    expect(stderr).toContain("99");
  });

  test("a rollback asks with what it changes, and makes a new revision", async () => {
    await threeRevisions();
    const no = await holdfast(["rollback", "1"], {
      terminal: true,
      stdin: "n\n",
    });
    expect(no.code).toBe(1);
    expect(no.stderr).toContain("Roll back to revision 1: ");
    const unseen = await holdfast(["rollback", "1"]);
    expect(unseen.code).toBe(1);
    expect(unseen.stderr).toContain("There is no terminal");
    const dry = await holdfast(["rollback", "1", "--dry-run"]);
    expect(dry.stdout).toContain("dry run: ");
    const yes = await holdfast(["rollback", "1"], {
      terminal: true,
      stdin: "y\n",
    });
    expect(yes.code).toBe(0);
    expect(yes.stdout).toMatch(/^revision 4: /);
    expect(await json("get", "route", "pay")).toMatchObject({
      route: { paths: ["/pay"] },
    });
    const again = await holdfast(["rollback", "1"]);
    expect(again).toMatchObject({
      code: 0,
      stdout: "revision 4: no changes\n",
    });
  });
});

test("watch --after prints what was committed since, then what is committed now", async () => {
  await applied();
  const cli = startCli(["watch", "--after", "0", "-o", "json"], {
    env: { HOLDFAST_ADMIN: plane.addresses.admin },
  });
  await cli.until(/"revision":"1"/);
  await holdfast(["delete", "consumer", "bob", "--yes"]);
  await cli.until(/"revision":"2"/);
  cli.stop();
  expect(await cli.ended).toBe(0);
  expect(cli.stdout()).not.toContain("secret-of-alice");
  expect(cli.stdout()).toContain('"***"');
});

test("without nodes wait is done at once, and the list of nodes is empty", async () => {
  await applied();
  const { code, stderr } = await holdfast(["wait", "1"]);
  expect(code).toBe(0);
  expect(stderr).toContain("no node is connected");
  expect(await json("nodes")).toEqual({ nodes: [] });
  expect((await holdfast(["nodes"])).stdout).toMatch(/^ID +HOSTNAME/);
});
