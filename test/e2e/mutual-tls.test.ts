import { copyFile, cp as copy, mkdir } from "node:fs/promises";
import { Registry } from "prom-client";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  test,
} from "vitest";
import {
  GoodbyeReason,
  SyncService,
  type Goodbye,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { systemClock } from "../../src/runtime/clock.ts";
import { messagesOf } from "../../src/runtime/grpc.ts";
import { GrpcClient } from "../../src/runtime/grpc-client.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { ClusterTls } from "../../src/runtime/tls/cluster-tls.ts";
import { eventually } from "../support/eventually.ts";
import { holdfast, HoldfastProcess } from "../support/holdfast-process.ts";
import { servedBy } from "../support/served-revision.ts";
import { TempDir } from "../support/temp-dir.ts";

let dir: TempDir;
const running: HoldfastProcess[] = [];
beforeEach(async () => {
  dir = await TempDir.make();
});
afterEach(async () => {
  await Promise.all(
    running.splice(0).map((process) => process[Symbol.asyncDispose]()),
  );
  await dir[Symbol.asyncDispose]();
});

/** Files of the authority, by name. */
const file = (name: string) => dir.join("cluster", name);

async function cert(...argv: readonly string[]): Promise<void> {
  const out = argv.includes("--out") ? [] : ["--out", dir.join("cluster")];
  const run = await holdfast("cert", ...argv, ...out);
  expect(run).toMatchObject({ code: 0 });
}

/** The flags of somebody with a pair, and with the authority in PKI mode. */
const withPair = (pair: string, ...more: readonly string[]): string[] => [
  ...["--cluster-cert", `${pair}.crt`, "--cluster-key", `${pair}.key`],
  ...more,
];
const withCa = (pair: string, ...more: readonly string[]): string[] =>
  withPair(file(pair), "--cluster-ca", file("ca.crt"), ...more);

function startCp(...flags: readonly string[]): Promise<HoldfastProcess> {
  // Not a loopback address: with certificates any will do.
  return startCpAt("0.0.0.0:0", ...flags);
}

async function startCpAt(
  sync: string,
  ...flags: readonly string[]
): Promise<HoldfastProcess> {
  const cp = await HoldfastProcess.start(
    ...["cp", "--data-dir", dir.join("cp"), "--admin-listen", "127.0.0.1:0"],
    ...["--sync-listen", sync, ...flags],
  );
  running.push(cp);
  return cp;
}

async function startDp(
  cp: HoldfastProcess,
  name: string,
  ...flags: readonly string[]
): Promise<HoldfastProcess> {
  const port = cp.address("sync").split(":").at(-1) ?? "";
  const dp = await HoldfastProcess.start(
    ...["dp", "--data-dir", dir.join(`dp-${name}`)],
    ...["--control-plane", `127.0.0.1:${port}`],
    ...["--proxy-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"],
    ...flags,
  );
  running.push(dp);
  return dp;
}

async function put(cp: HoldfastProcess, host: string): Promise<string> {
  const response = await fetch(
    cp.url("admin", "/holdfast.admin.v1.ConfigService/Put"),
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ resource: { service: { name: "s", host } } }),
    },
  );
  const { revision } = (await response.json()) as { revision: string };
  return revision;
}

const serves = (dp: HoldfastProcess, revision: string): Promise<unknown> =>
  eventually(
    async () => (await servedBy(dp)) === revision,
    `revision ${revision} to be served`,
    20_000,
  );

/** The value of a metric's series, by what its line begins with. */
async function metric(page: string, series: string): Promise<number> {
  const text = await (await fetch(page)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.split(" ").at(-1) ?? 0);
}

interface Line {
  readonly event: string;
  readonly reason?: string;
  readonly [field: string]: unknown;
}

/** Waits for a line of an event whose reason, or other text, matches. */
async function logged(
  process: HoldfastProcess,
  event: string,
  what: RegExp,
): Promise<Line> {
  return eventually(
    () => {
      const line = process.log.find(
        (each) => each.includes(`"${event}"`) && what.test(each),
      );
      return line === undefined ? undefined : (JSON.parse(line) as Line);
    },
    `${event} with ${what}; there is:\n${process.log.join("\n")}`,
    20_000,
  );
}

interface NodeRow {
  readonly id: string;
  readonly connected?: boolean;
  readonly certificate?: Readonly<Record<string, string>>;
}

async function nodesOf(cp: HoldfastProcess): Promise<readonly NodeRow[]> {
  const run = await holdfast("nodes", "-o", "json", "--admin", cp.url("admin"));
  return (JSON.parse(run.stdout) as { nodes: NodeRow[] }).nodes;
}

/** Says Hello as a node, with a certificate, and answers the Goodbye. */
async function greet(
  cp: HoldfastProcess,
  pair: string,
  id: string,
): Promise<Goodbye> {
  await using tls = await ClusterTls.open({
    certFile: file(`${pair}.crt`),
    keyFile: file(`${pair}.key`),
    caFile: file("ca.crt"),
    clock: systemClock,
    logger: silentLogger,
    metrics: new Registry(),
  });
  const port = Number(cp.address("sync").split(":").at(-1));
  using client = new GrpcClient({ host: "127.0.0.1", port }, { tls });
  const stream = client.bidi(SyncService.method.connect);
  stream.on("error", () => {});
  stream.write({
    message: {
      case: "hello",
      value: { node: { id, boot: "b", build: "x", hostname: "h" } },
    },
  });
  for await (const { message } of messagesOf(stream))
    if (message.case === "goodbye") return message.value;
  throw new Error("the stream ended without a Goodbye");
}

describe("shared mode, with what holdfast cert makes", () => {
  test("carries changes, and refuses whoever has another pair, whom both sides' logs name", async () => {
    await cert("init", "--shared");
    await cert("init", "--shared", "--out", dir.join("other"));
    const cp = await startCp(...withPair(file("cluster")));
    const dp = await startDp(cp, "a", ...withPair(file("cluster")));
    await serves(dp, await put(cp, "a.example"));

    const stranger = await startDp(
      cp,
      "stranger",
      ...withPair(dir.join("other", "cluster")),
    );
    const refused =
      /its certificate is not the pinned one: theirs has SHA-256 [0-9a-f]{64}, ours [0-9a-f]{64}/;
    const atCp = await logged(cp, "tls.handshake_failed", refused);
    expect(atCp["peer"]).toMatch(/127\.0\.0\.1:\d+$/);
    await logged(stranger, "tls.handshake_failed", refused);

    const plain = await startDp(cp, "plain", "--insecure-sync");
    await logged(cp, "tls.handshake_failed", /does not speak TLS/);
    expect(await servedBy(plain)).toBeUndefined();
    expect(await nodesOf(cp)).toHaveLength(1);
  });

  test("takes a renewed pair up at both ends while a stream goes on, and uses it for the next one", async () => {
    await cert("init", "--shared");
    await cert("init", "--shared", "--out", dir.join("renewed"));
    await mkdir(dir.join("a"));
    for (const side of ["a/cp", "a/dp"])
      for (const type of ["crt", "key"])
        await copyFile(file(`cluster.${type}`), dir.join(`${side}.${type}`));
    const cp = await startCp(...withPair(dir.join("a/cp")));
    const dp = await startDp(cp, "a", ...withPair(dir.join("a/dp")));
    await serves(dp, await put(cp, "a.example"));
    const expires = "holdfast_cluster_certificate_expires_timestamp_seconds";
    const endsAt = (at: HoldfastProcess, where: string) =>
      metric(at.url(where, "/metrics"), `${expires}{which="own"}`);
    expect(await endsAt(cp, "admin")).toBeGreaterThan(Date.now() / 1000);
    expect(await endsAt(cp, "admin")).toBe(await endsAt(dp, "status"));

    for (const side of ["a/cp", "a/dp"])
      for (const type of ["crt", "key"])
        await copyFile(
          dir.join(`renewed/cluster.${type}`),
          dir.join(`${side}.${type}`),
        );
    const fresh = await logged(cp, "tls.reloaded", /sha256/);
    await logged(dp, "tls.reloaded", new RegExp(String(fresh["sha256"])));
    await serves(dp, await put(cp, "b.example"));
    expect(
      dp.log.filter((line) => line.includes("sync.welcomed")),
    ).toHaveLength(1);
    const second = await startDp(cp, "b", ...withPair(dir.join("a/dp")));
    await serves(second, await put(cp, "c.example"));
    await serves(dp, await put(cp, "d.example"));
  });
});

describe("PKI mode, with what holdfast cert makes", () => {
  // Made once: each test has a copy, which it may revoke from.
  let made: TempDir;
  beforeAll(async () => {
    made = await TempDir.make();
    const out = ["--out", made.join("cluster")];
    await cert("init", ...out);
    await cert("issue", "--cp", "cp", "--host", "127.0.0.1", ...out);
    for (const node of ["edge-1", "edge-2"])
      await cert("issue", "--dp", node, ...out);
    await cert("issue", "--dp", "edge-3", "--workspace", "staging", ...out);
  });
  afterAll(async () => {
    await made[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await copy(made.join("cluster"), dir.join("cluster"), { recursive: true });
  });

  test("knows nodes by their certificates, shows when those expire, and lets none take another's id", async () => {
    const cp = await startCp(...withCa("cp"));
    const dp = await startDp(cp, "1", ...withCa("edge-1"));
    await serves(dp, await put(cp, "a.example"));
    const [row] = await nodesOf(cp);
    expect(row).toMatchObject({ id: "edge-1", connected: true });
    expect(row?.certificate).toMatchObject({
      name: "edge-1",
      node_id: "edge-1",
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      expires_at: expect.stringMatching(/^20\d\d-/) as unknown,
    });

    const usurper = await holdfast(
      ...["dp", "--data-dir", dir.join("dp-2"), "--node-id", "edge-1"],
      ...["--control-plane", cp.address("sync"), ...withCa("edge-2")],
    );
    expect(usurper.code).toBe(2);
    expect(usurper.stderr).toContain(
      `--node-id edge-1: the certificate in --cluster-cert ${file("edge-2.crt")} is of node "edge-2"`,
    );
    // Somebody who does not play by the rules, with the certificate of another node.
    const goodbye = await greet(cp, "edge-2", "edge-1");
    expect(goodbye).toMatchObject({
      reason: GoodbyeReason.IDENTITY,
      message: expect.stringContaining(
        'the certificate is of node "edge-2", and the node says that it is "edge-1"',
      ) as unknown,
    });
    await logged(cp, "node.wrong_identity", /"certificate_node":"edge-2"/);
    // Nor is a node told anything of a workspace that its certificate is not for.
    expect(await greet(cp, "edge-3", "edge-3")).toMatchObject({
      reason: GoodbyeReason.IDENTITY,
      message: expect.stringContaining(
        'the certificate is for workspace "staging", and the node asks for "default"',
      ) as unknown,
    });
    await logged(cp, "node.wrong_workspace", /"workspace":"default"/);
    const stray = await holdfast(
      ...["dp", "--data-dir", dir.join("dp-3"), "--workspace", "default"],
      ...["--control-plane", cp.address("sync"), ...withCa("edge-3")],
    );
    expect(stray.code).toBe(2);
    expect(stray.stderr).toContain('is for workspace "staging"');
    expect(await nodesOf(cp)).toMatchObject([
      { id: "edge-1", connected: true },
    ]);
  });

  test("refuses another authority's certificate, a name that is not allowed and a host that is not the certificate's, in words", async () => {
    await cert("init", "--out", dir.join("other"));
    await cert("issue", "--dp", "edge-9", "--out", dir.join("other"));
    const cp = await startCp(
      ...withCa("cp", "--cluster-allowed-names", "edge-1,edge-9"),
    );
    const foreign = await startDp(
      cp,
      "9",
      ...withPair(dir.join("other/edge-9"), "--cluster-ca", file("ca.crt")),
    );
    await logged(
      cp,
      "tls.handshake_failed",
      /certificate of CN=edge-9 is by no authority in --cluster-ca/,
    );
    await logged(foreign, "tls.own_certificate_not_of_own_ca", /refuse/);
    await eventually(
      () =>
        foreign.log.some((line) =>
          line.includes(
            "it closed the connection after the TLS handshake; perhaps it does not accept this side's certificate",
          ),
        ),
      "its own log to say so too",
    );

    await startDp(cp, "2", ...withCa("edge-2"));
    await logged(
      cp,
      "tls.handshake_failed",
      /no name of its certificate is in --cluster-allowed-names: it has edge-2/,
    );
    const good = await startDp(cp, "1", ...withCa("edge-1"));
    await serves(good, await put(cp, "a.example"));

    const port = cp.address("sync").split(":").at(-1) ?? "";
    const lost = await HoldfastProcess.start(
      ...["dp", "--data-dir", dir.join("dp-3")],
      ...["--control-plane", `localhost:${port}`],
      ...["--proxy-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"],
      ...withCa("edge-1"),
    );
    running.push(lost);
    await logged(
      lost,
      "tls.handshake_failed",
      /its certificate is not for \\"localhost\\", the host in --control-plane, but for 127\.0\.0\.1/,
    );
  });

  test("cuts a node off whose certificate is revoked, and no other", async () => {
    const cp = await startCp(...withCa("cp", "--cluster-crl", file("ca.crl")));
    const good = await startDp(cp, "1", ...withCa("edge-1"));
    const stolen = await startDp(cp, "2", ...withCa("edge-2"));
    const revision = await put(cp, "a.example");
    await Promise.all([serves(good, revision), serves(stolen, revision)]);
    await cert("revoke", file("edge-2.crt"));
    await logged(cp, "tls.reloaded", /"revoked_connections_cut":1/);
    await logged(
      cp,
      "tls.handshake_failed",
      /the certificate of CN=edge-2 is revoked/,
    );
    const next = await put(cp, "b.example");
    await serves(good, next);
    expect(good.log.filter((l) => l.includes("sync.welcomed"))).toHaveLength(1);
    // It holds fast on what it has.
    expect(await servedBy(stolen)).toBe(revision);
  });

  test("resumes sessions when a control plane comes back", async () => {
    const first = await startCp(...withCa("cp"));
    const port = first.address("sync").split(":").at(-1) ?? "";
    const dp = await startDp(first, "1", ...withCa("edge-1"));
    await serves(dp, await put(first, "a.example"));
    await first.kill("SIGKILL");
    const again = await startCpAt(`0.0.0.0:${port}`, ...withCa("cp"));
    await serves(dp, await put(again, "b.example"));
    const resumed = 'holdfast_cluster_handshakes_total{resumed="true"}';
    expect(await metric(again.url("admin", "/metrics"), resumed)).toBe(1);
    expect(await metric(dp.url("status", "/metrics"), resumed)).toBe(1);
  });
});

test("files that are missing or do not fit end the start with what to do", async () => {
  await cert("init");
  await cert("issue", "--dp", "edge-1");
  await cert("issue", "--dp", "edge-2");
  const start = (...flags: readonly string[]) =>
    holdfast("cp", "--data-dir", dir.join("cp"), ...flags);
  const wrong = await start(
    ...["--cluster-cert", file("edge-1.crt")],
    ...["--cluster-key", file("edge-2.key")],
  );
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain(
    `--cluster-key ${file("edge-2.key")}: is not the key of the certificate in ${file("edge-1.crt")} (--cluster-cert)`,
  );
  const pattern = await start(
    ...withCa("edge-1", "--cluster-allowed-names", "edge-1,edge-*"),
  );
  expect(pattern.code).toBe(2);
  expect(pattern.stderr).toContain(
    '--cluster-allowed-names: "edge-*" stands for no name',
  );
  const open = await start("--insecure-sync", "--sync-listen", "0.0.0.0:8005");
  expect(open.code).toBe(2);
  expect(open.stderr).toContain(
    "--sync-listen: 0.0.0.0:8005 can be reached from other machines",
  );
});
