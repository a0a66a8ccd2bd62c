import { generateKeyPairSync } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { adminClient, putting } from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  HoldfastProcess,
  startCp,
  startDp,
} from "../support/holdfast-process.ts";
import { logged, untilLogged } from "../support/logged.ts";
import { resource } from "../support/resources.ts";
import { servedBy } from "../support/served-revision.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

/** Nobody listens there. */
const NOBODY = "127.0.0.1:1";

/** Makes a pair of keys in a directory. */
async function keys(
  dir: TempDir,
  name: string,
): Promise<{ readonly secret: string; readonly open: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const secret = dir.join(`${name}.key`);
  const open = dir.join(`${name}.pub`);
  await writeFile(secret, privateKey.export({ type: "pkcs8", format: "pem" }));
  await writeFile(open, publicKey.export({ type: "spki", format: "pem" }));
  return { secret, open };
}

async function startPublishingCp(
  dir: TempDir,
  key: string,
): Promise<HoldfastProcess> {
  return HoldfastProcess.start(
    "cp",
    "--insecure-sync",
    "--data-dir",
    dir.join("cp"),
    "--admin-listen",
    "127.0.0.1:0",
    "--sync-listen",
    "127.0.0.1:0",
    "--publish-snapshot",
    dir.join("published"),
    "--snapshot-key",
    key,
  );
}

/** A control plane's configuration: one route to the upstream. */
async function configure(
  cp: HoldfastProcess,
  upstream: Upstream,
): Promise<void> {
  await adminClient(cp.url("admin")).config.transact({
    operations: [
      putting(
        resource("service", {
          name: "s",
          url: `http://127.0.0.1:${upstream.port}`,
        }),
      ),
      putting(
        resource("route", {
          name: "r",
          paths: ["/r"],
          service: { name: "s" },
        }),
      ),
    ],
  });
}

/** A server that answers as a test says. */
async function serveFiles(
  answers: (url: string) => { status: number; body?: Buffer; to?: string },
): Promise<Server & AsyncDisposable> {
  const server = createServer((request, response) => {
    const { status, body, to } = answers(request.url ?? "");
    response.writeHead(status, to === undefined ? {} : { location: to });
    response.end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(server, {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  });
}

function urlOf(server: Server, path: string): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
}

test("a data plane without anything starts from what a control plane published, from a file and from a server, and from the control plane when that is back", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const { secret, open } = await keys(dir, "signing");
  const file = dir.join("published", "default.hfs");
  const cp = await startPublishingCp(dir, secret);
  const sync = cp.address("sync");
  const admin = cp.address("admin");
  const empty = await eventually(
    () => readFile(file).catch(() => undefined),
    "the published file",
  );
  await configure(cp, upstream);
  await eventually(
    async () => !(await readFile(file)).equals(empty) || undefined,
    "the file to be replaced",
  );
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await cp.kill("SIGKILL");

  await using fromFile = await startDp(
    dir.join("dp-1"),
    sync,
    ...["--fallback", file, "--fallback-key", open],
  );
  await eventually(
    async () => (await servedBy(fromFile)) === "1" || undefined,
    "the file's state to be served",
  );
  expect((await fetch(fromFile.url("proxy", "/r"))).status).toBe(200);
  expect((await fetch(fromFile.url("status", "/status/ready"))).status).toBe(
    200,
  );
  expect(
    await (await fetch(fromFile.url("status", "/status/config"))).json(),
  ).toMatchObject({
    source: "fallback",
    confirmed_at: expect.stringMatching(/Z$/) as string,
  });

  const bytes = await readFile(file);
  await using server = await serveFiles((url) =>
    url === "/default.hfs"
      ? { status: 200, body: bytes }
      : { status: 302, to: "/default.hfs" },
  );
  await using fromServer = await startDp(
    dir.join("dp-2"),
    sync,
    ...["--fallback", urlOf(server, "/default.hfs"), "--fallback-key", open],
  );
  await eventually(
    async () => (await servedBy(fromServer)) === "1" || undefined,
    "the server's state to be served",
  );

  // It is stored as any state is: the file is not needed again.
  await fromServer.kill("SIGKILL");
  await using again = await startDp(dir.join("dp-2"), sync);
  expect(await servedBy(again)).toBe("1");

  await using back = await startCp(dir.join("cp"), { sync, admin });
  await adminClient(back.url("admin")).config.transact({
    operations: [
      putting(resource("service", { name: "t", host: "a.example" })),
    ],
  });
  for (const dp of [fromFile, again])
    await eventually(
      async () => (await servedBy(dp)) === "2" || undefined,
      "the control plane's state to be served",
      30_000,
    );
}, 180_000);

test("what is not signed, by another key, tampered with, of another workspace, another format, or redirected is refused with what disagrees; a right one is taken as soon as it is there", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const { secret, open } = await keys(dir, "signing");
  const other = await keys(dir, "other");
  await using cp = await startCp(dir.join("cp"));
  await configure(cp, upstream);
  const exported = async (name: string, ...more: string[]): Promise<Buffer> => {
    const { code, stderr } = await holdfast(
      ...["export-snapshot", "-o", dir.join(name)],
      ...["--admin", cp.url("admin")],
      ...more,
    );
    expect(code, stderr).toBe(0);
    return readFile(dir.join(name));
  };
  const good = await exported("good.hfs", "--snapshot-key", secret);
  const tampered = Buffer.from(good);
  tampered[tampered.length - 1] = (tampered.at(-1) ?? 0) ^ 1;
  const newer = Buffer.from(good);
  newer.writeUInt32BE(2, 8);
  const older = Buffer.from(good);
  older.writeUInt32BE(0, 8);
  const cases: Readonly<Record<string, readonly [Buffer, RegExp, string[]?]>> =
    {
      unsigned: [await exported("unsigned.hfs"), /is not signed/],
      stranger: [
        await exported("stranger.hfs", "--snapshot-key", other.secret),
        /is signed by key [0-9a-f]{16}, trusted is [0-9a-f]{16}/,
      ],
      tampered: [tampered, /bucket \d+ has another hash/],
      newer: [newer, /has format 2, this build reads up to 1/],
      older: [older, /has format 0, this build reads from 1 on/],
      short: [good.subarray(0, -10), /ends 10 bytes too early/],
      workspace: [
        good,
        /is of workspace "default", this data plane is of "edge"/,
        ["--workspace", "edge"],
      ],
    };
  await using server = await serveFiles((url) => {
    const found = cases[url.slice(1)];
    return found === undefined
      ? { status: 307, to: "/elsewhere" }
      : { status: 200, body: found[0] };
  });
  for (const [name, [, reason, more = []]] of [
    ...Object.entries(cases),
    [
      "moved",
      [good, /answers 307, a redirect to http:\/\/[0-9.:]+\/elsewhere:/],
    ] as const,
  ]) {
    await using dp = await startDp(
      dir.join(`dp-${name}`),
      NOBODY,
      ...["--fallback", urlOf(server, `/${name}`), "--fallback-key", open],
      ...more,
    );
    const line = await untilLogged(dp, "fallback.not_usable");
    expect(JSON.stringify(line["err"]), name).toMatch(
      new RegExp(reason.source.replaceAll('"', '\\\\"')),
    );
    expect(await servedBy(dp), name).toBeUndefined();
    expect(logged(dp, "fallback.serving")).toEqual([]);
  }

  // The file comes later.
  const late = dir.join("late.hfs");
  await using dp = await startDp(
    dir.join("dp-late"),
    NOBODY,
    ...["--fallback", late, "--fallback-key", open],
  );
  await untilLogged(dp, "fallback.not_usable");
  await writeFile(late, good);
  await eventually(
    async () => (await servedBy(dp)) === "1" || undefined,
    "the file to be found",
    20_000,
  );
}, 180_000);

test("a key that is none, or not given, is told at the start", async () => {
  await using dir = await TempDir.make();
  const { secret, open } = await keys(dir, "signing");
  const dp = (...more: string[]) =>
    holdfast(
      ...["dp", "--insecure-sync", "--data-dir", dir.join("dp")],
      ...["--control-plane", NOBODY, "--proxy-listen", "127.0.0.1:0"],
      ...["--status-listen", "127.0.0.1:0", ...more],
    );
  const bare = await dp("--fallback", "x.hfs");
  expect(bare.code).toBe(2);
  expect(bare.stderr).toContain("--fallback needs --fallback-key");
  const wrong = await dp("--fallback", "x.hfs", "--fallback-key", secret);
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain("is a private key; the public one is wanted");
  const cp = await holdfast(
    ...["cp", "--insecure-sync", "--data-dir", dir.join("cp")],
    ...["--admin-listen", "127.0.0.1:0", "--sync-listen", "127.0.0.1:0"],
    ...["--publish-snapshot", dir.join("p"), "--snapshot-key", open],
  );
  expect(cp.code).toBe(1);
  expect(cp.stderr).toContain("is no private key in PEM form");
}, 90_000);
