import { execFile, spawnSync } from "node:child_process";
import { createPublicKey, sign, verify, X509Certificate } from "node:crypto";
import {
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";
import { TempDir } from "../support/temp-dir.ts";

const DAY_MS = 86_400_000;

let dir: TempDir;
beforeEach(async () => {
  dir = await TempDir.make();
});
afterEach(() => dir[Symbol.asyncDispose]());

const cert = (...argv: readonly string[]) => runCli(["cert", ...argv]);
const inDir = (...argv: readonly string[]) =>
  cert(...argv, "--out", dir.join("cluster"));
const file = (name: string) => dir.join("cluster", name);
const modeOf = async (path: string) =>
  ((await stat(path)).mode & 0o777).toString(8);
const certificateOf = async (name: string) =>
  new X509Certificate(await readFile(file(name)));
const daysOf = (certificate: X509Certificate) =>
  Math.round((Date.parse(certificate.validTo) - Date.now()) / DAY_MS);

/** Whether OpenSSL, strictly, takes a certificate to be by the authority; else what it says. */
async function verified(name: string, purpose: string): Promise<string> {
  const argv = [
    ...["verify", "-x509_strict", "-purpose", purpose, "-crl_check"],
    ...["-CAfile", file("ca.crt"), "-CRLfile", file("ca.crl"), file(name)],
  ];
  return promisify(execFile)("openssl", argv).then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) => String((error as { stderr?: unknown }).stderr),
  );
}

describe("holdfast cert", () => {
  test("makes an authority and certificates by it that OpenSSL accepts for what they are for, and for nothing else", async () => {
    const init = await inDir("init");
    expect(init).toMatchObject({ code: 0 });
    expect(init.stdout).toBe(
      [file("ca.crt"), file("ca.key"), file("ca.crl"), ""].join("\n"),
    );
    const cp = await inDir(
      ...["issue", "--cp", "cp.example.com", "--host", "cp.example.com"],
      ...["--host", "10.0.0.5", "--host", "fd00::5"],
      ...["--host", "::ffff:10.0.0.6"],
    );
    expect(cp).toMatchObject({ code: 0 });
    expect(await inDir("issue", "--dp", "edge-7")).toMatchObject({ code: 0 });

    expect(await verified("cp.example.com.crt", "sslserver")).toContain("OK");
    expect(await verified("cp.example.com.crt", "sslclient")).toContain("OK");
    expect(await verified("edge-7.crt", "sslclient")).toContain("OK");
    expect(await verified("edge-7.crt", "sslserver")).toMatch(/purpose/);

    const ca = await certificateOf("ca.crt");
    const server = await certificateOf("cp.example.com.crt");
    const node = await certificateOf("edge-7.crt");
    expect(ca.ca).toBe(true);
    expect([ca, server, node].map(daysOf)).toEqual([3650, 365, 365]);
    expect(server.checkHost("cp.example.com")).toBe("cp.example.com");
    expect(server.checkIP("10.0.0.5")).toBe("10.0.0.5");
    expect(server.checkIP("fd00::5")).toBe("fd00::5");
    expect(server.checkIP("::ffff:10.0.0.6")).toBe("::ffff:10.0.0.6");
    expect(server.checkHost("other.example.com")).toBeUndefined();
    expect(node.subjectAltName).toBe("URI:holdfast:node:edge-7");
    expect(node.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(new Set([ca, server, node].map((c) => c.serialNumber)).size).toBe(3);
  });

  test("binds a data plane to workspaces, and to none unless it is told so", async () => {
    await inDir("init");
    await inDir(
      ...["issue", "--dp", "edge-8"],
      ...["--workspace", "staging", "--workspace", "qa"],
    );
    const node = await certificateOf("edge-8.crt");
    expect(node.subjectAltName).toBe(
      "URI:holdfast:node:edge-8, URI:holdfast:workspace:staging, URI:holdfast:workspace:qa",
    );
    const shown = await cert("show", file("edge-8.crt"));
    expect(shown.stdout).toMatch(/^ {2}workspaces {5}staging, qa$/m);
    for (const [wrong, reason] of [
      [["--cp", "cp", "--workspace", "qa"], "goes together with --dp"],
      [["--dp", "x", "--workspace", "Q A"], "a workspace"],
    ] as const) {
      const refused = await inDir("issue", ...wrong);
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain(reason);
    }
  });

  test("keeps keys and directories it makes to their owner", async () => {
    await inDir("init");
    await inDir("issue", "--dp", "edge-7");
    await inDir("init", "--shared");
    await inDir("signing-key");
    expect(await modeOf(dir.join("cluster"))).toBe("700");
    for (const name of await readdir(dir.join("cluster")))
      expect(`${name} ${await modeOf(file(name))}`).toBe(
        `${name} ${name.endsWith(".key") ? "600" : "644"}`,
      );
  });

  test("overwrites nothing, says which file is there, and leaves nothing half done", async () => {
    await inDir("init");
    const before = await readFile(file("ca.key"), "utf8");
    const again = await inDir("init");
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain(
      `${file("ca.crt")} is there already, and nothing is overwritten`,
    );
    expect(await readFile(file("ca.key"), "utf8")).toBe(before);

    await writeFile(file("edge-7.key"), "mine");
    const issued = await inDir("issue", "--dp", "edge-7");
    expect(issued.code).toBe(1);
    expect(issued.stderr).toContain(`${file("edge-7.key")} is there already`);
    expect(await readdir(dir.join("cluster"))).not.toContain("edge-7.crt");
    expect(await readFile(file("edge-7.key"), "utf8")).toBe("mine");
    // A renewed one goes to another directory.
    const renewed = dir.join("renewed");
    expect(
      await inDir("issue", "--dp", "edge-7", "--to", renewed),
    ).toMatchObject({ code: 0 });
    expect((await readdir(renewed)).sort()).toEqual([
      "edge-7.crt",
      "edge-7.key",
    ]);
  });

  test("makes one pair for everybody that is no authority", async () => {
    expect(await inDir("init", "--shared")).toMatchObject({ code: 0 });
    expect((await readdir(dir.join("cluster"))).sort()).toEqual([
      "cluster.crt",
      "cluster.key",
    ]);
    const pair = await certificateOf("cluster.crt");
    expect(pair.ca).toBe(false);
    expect(pair.verify(pair.publicKey)).toBe(true);
    expect(daysOf(pair)).toBe(1095);
  });

  test("lets nobody's certificate outlive the authority", async () => {
    await inDir("init", "--days", "10");
    await inDir("issue", "--dp", "a");
    expect(daysOf(await certificateOf("a.crt"))).toBe(10);
    await inDir("issue", "--dp", "b", "--days", "5");
    expect(daysOf(await certificateOf("b.crt"))).toBe(5);
    const longer = await inDir("issue", "--dp", "c", "--days", "11");
    expect(longer.code).toBe(1);
    expect(longer.stderr).toContain("--days 11 is longer than the authority");
  });

  test("puts revoked certificates on the list, each once and only its own", async () => {
    await inDir("init");
    for (const name of ["a", "b", "c"]) await inDir("issue", "--dp", name);
    for (const name of ["a", "b"])
      expect(await inDir("revoke", file(`${name}.crt`))).toMatchObject({
        code: 0,
        stdout: `${file("ca.crl")}\n`,
      });
    expect(await verified("a.crt", "sslclient")).toContain("revoked");
    expect(await verified("b.crt", "sslclient")).toContain("revoked");
    expect(await verified("c.crt", "sslclient")).toContain("OK");
    const list = await promisify(execFile)("openssl", [
      ...["asn1parse", "-in", file("ca.crl")],
    ]);
    // Lists that may be absent must not be empty.
    expect(list.stdout).toContain("cons: SEQUENCE");
    expect(list.stdout).not.toMatch(/l= +0 cons: SEQUENCE/);
    expect((await inDir("revoke", file("a.crt"))).stderr).toContain(
      "is revoked already",
    );
    const other = dir.join("other");
    await cert("init", "--out", other);
    const foreign = await cert("revoke", file("c.crt"), "--out", other);
    expect(foreign.code).toBe(1);
    expect(foreign.stderr).toContain("was not issued by the authority in");
  });

  test("loses no revocation when several are made at once", async () => {
    await inDir("init");
    const names = ["a", "b", "c", "d"];
    for (const name of names) await inDir("issue", "--dp", name);
    const done = await Promise.all(
      names.map((name) => inDir("revoke", file(`${name}.crt`))),
    );
    expect(done.map(({ code, stderr }) => (code === 0 ? "" : stderr))).toEqual(
      names.map(() => ""),
    );
    for (const name of names)
      expect(await verified(`${name}.crt`, "sslclient")).toContain("revoked");
    expect(await readdir(dir.join("cluster"))).not.toContain("ca.crl.lock");
    expect(await modeOf(file("ca.crl"))).toBe("644");
  });

  test("says what to do about a lock that an interrupted revocation has left", async () => {
    await inDir("init");
    await inDir("issue", "--dp", "a");
    const before = await readFile(file("ca.crl"), "utf8");
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    await writeFile(file("ca.crl.lock"), `${pid} ${hostname()}\n`);
    const refused = await inDir("revoke", file("a.crt"));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `${file("ca.crl.lock")} is there: process ${pid} on ${hostname()} has made it, which does not run any more. Nothing was changed.`,
    );
    expect(refused.stderr).toContain("remove it and try again");
    expect(await readFile(file("ca.crl"), "utf8")).toBe(before);
    await rm(file("ca.crl.lock"));
    expect((await inDir("revoke", file("a.crt"))).code).toBe(0);
  });

  test("begins no new list where one is missing unless it is told to", async () => {
    await inDir("init");
    await inDir("issue", "--dp", "a");
    const there = await inDir("revoke", file("a.crt"), "--new-list");
    expect(there.stderr).toContain("is there already: leave --new-list away");
    await rm(file("ca.crl"));
    const missing = await inDir("revoke", file("a.crt"));
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain(`there is no ${file("ca.crl")}`);
    expect(await readdir(dir.join("cluster"))).not.toContain("ca.crl");
    const begun = await inDir("revoke", file("a.crt"), "--new-list");
    expect(begun.code).toBe(0);
    expect(await verified("a.crt", "sslclient")).toContain("revoked");
  });

  test("does not revoke the authority itself", async () => {
    await inDir("init");
    const before = await readFile(file("ca.crl"), "utf8");
    const refused = await inDir("revoke", file("ca.crt"));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("is the certificate of the authority");
    expect(await readFile(file("ca.crl"), "utf8")).toBe(before);
  });

  test("shows what is in certificates, for people and for programs", async () => {
    await inDir("init");
    await inDir("issue", "--dp", "edge-7");
    const people = await cert("show", file("edge-7.crt"), file("ca.crt"));
    expect(people.code).toBe(0);
    expect(people.stdout).toMatch(/^ {2}subject {8}CN=edge-7$/m);
    expect(people.stdout).toMatch(/^ {2}node id {8}edge-7$/m);
    expect(people.stdout).toMatch(/^ {2}valid to .* \(36[45] days left\)$/m);
    const programs = await cert("show", file("edge-7.crt"), "-o", "json");
    const { fingerprint256 } = await certificateOf("edge-7.crt");
    expect(JSON.parse(programs.stdout)).toMatchObject({
      certificates: [
        {
          file: file("edge-7.crt"),
          subject: "CN=edge-7",
          issuer: "CN=holdfast cluster CA",
          authority: false,
          names: ["holdfast:node:edge-7"],
          node_id: "edge-7",
          usages: ["clientAuth"],
          sha256: fingerprint256.replaceAll(":", "").toLowerCase(),
        },
      ],
    });
    const none = await cert("show", file("ca.key"));
    expect(none.code).toBe(1);
    expect(none.stderr).toContain("is not a certificate in PEM");
  });

  test("makes a pair that signs", async () => {
    await inDir("signing-key");
    const key = await readFile(file("holdfast-signing.key"), "utf8");
    const pub = createPublicKey(await readFile(file("holdfast-signing.pub")));
    const signature = sign(null, Buffer.from("x"), key);
    expect(verify(null, Buffer.from("x"), pub, signature)).toBe(true);
    expect(pub.asymmetricKeyType).toBe("ed25519");
    expect((await inDir("signing-key")).code).toBe(1);
  });

  test("says what is missing when there is no authority, or not all of it", async () => {
    const none = await inDir("issue", "--dp", "a");
    expect(none.code).toBe(1);
    expect(none.stderr).toContain(
      `there is no ${file("ca.crt")}: "holdfast cert init" makes an authority`,
    );
    await mkdir(dir.join("cluster"));
    await cert("init", "--out", dir.join("other"));
    await inDir("init");
    await writeFile(
      file("ca.key"),
      await readFile(dir.join("other", "ca.key")),
    );
    expect((await inDir("issue", "--dp", "a")).stderr).toContain(
      `${file("ca.key")} is not the key of ${file("ca.crt")}`,
    );
  });
});
