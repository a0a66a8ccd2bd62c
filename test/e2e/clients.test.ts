import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digestOf, newToken } from "../../src/cp/access/token.ts";
import { bucketIndex } from "../../src/model/bucket.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { formatHostPort } from "../../src/runtime/host-port.ts";
import {
  ExampleNode,
  findGo,
  findPython,
  readmeCommands,
  runExample,
  typescript,
  type Language,
  type Toolchain,
} from "../support/client-examples.ts";
import { TestAuthority, type Pair } from "../support/cluster-certificates.ts";
import { HoldfastProcess, startCp } from "../support/holdfast-process.ts";
import { refuses } from "../support/refusing-node.ts";
import { PuppetControlPlane } from "../support/sync-peers.ts";
import { TempDir } from "../support/temp-dir.ts";

/** Where nothing is cached yet, Go compiles gRPC first. */
const COLD_MS = 600_000;

interface Example {
  readonly language: Language;
  readonly find: (programs: string) => Toolchain | string;
  /** What is run before: how its programs are built, and its own tests. */
  readonly before: (programs: string) => string[];
  readonly flag: (name: string, value: string) => string[];
}

const examples: readonly Example[] = [
  {
    language: "go",
    find: findGo,
    before: (programs) => [
      `go build -o ${programs}/ ./cmd/...`,
      "go test ./state",
    ],
    flag: (name, value) => [`-${name}`, value],
  },
  {
    language: "python",
    find: findPython,
    before: () => [".venv/bin/python -m unittest"],
    flag: (name, value) => [`--${name}`, value],
  },
];

/** What a language's example is called with once its code is generated and built. */
interface Ready extends Example {
  /** The README's commands, without the last word, which tests choose. */
  readonly dataplane: readonly string[];
  readonly change: readonly string[];
}

let dir: TempDir;
/** By language: the example, or why there is none. */
const ready = new Map<Language, Ready | string>();
beforeAll(async () => {
  dir = await TempDir.make();
  for (const example of examples)
    ready.set(example.language, await prepare(example));
}, COLD_MS);
afterAll(() => dir[Symbol.asyncDispose]());

async function prepare(example: Example): Promise<Ready | string> {
  const programs = dir.join("programs");
  const tools = example.find(programs);
  if (typeof tools === "string") return tools;
  const [generate, dataplane, change] = readmeCommands(example.language);
  for (const command of [generate!, ...example.before(programs)])
    await run(example.language, tools.translate(command));
  const commandOf = (line: string) => tools.translate(line).slice(0, -1);
  return {
    ...example,
    dataplane: commandOf(dataplane!),
    change: commandOf(change!),
  };
}

async function run(
  language: Language,
  command: readonly string[],
  code = 0,
  token?: string,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const ended = await runExample(language, command, token);
  expect({ ...ended, command }).toMatchObject({ code });
  return ended;
}

const TOKEN = newToken();

/** A file that lets everything be done with the token. */
async function writeTokens(): Promise<string> {
  const sha256 = digestOf(TOKEN).toString("hex");
  const tokens = [{ name: "example", sha256, roles: { "*": "write" } }];
  const file = dir.join("tokens.yml");
  await writeFile(file, JSON.stringify({ tokens }), { mode: 0o600 });
  return file;
}

/** Calls an Admin RPC as JSON. */
async function call(
  cp: HoldfastProcess,
  method: string,
  request: object,
): Promise<Record<string, unknown>> {
  const response = await fetch(
    cp.url("admin", `/holdfast.admin.v1.ConfigService/${method}`),
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
    },
  );
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer;
}

/** Waits until a node has said that it serves the newest revision, with its root. */
async function servesHead(
  cp: HoldfastProcess,
  node: ExampleNode,
  entries: number,
): Promise<void> {
  const { revisions } = (await call(cp, "ListRevisions", {
    page_size: 1,
  })) as { revisions: { cursor: { revision: string; root: string } }[] };
  const { revision, root } = revisions[0]!.cursor;
  await node.says(`revision ${revision}, root ${root}, ${entries} entries`);
}

/** 304 entries: many small buckets, and one that takes several messages. */
async function fill(cp: HoldfastProcess): Promise<void> {
  const ids: string[] = [];
  for (let i = 0; ids.length < 2; i++) {
    const id = `00000000-0000-4000-8000-${i.toString(16).padStart(12, "0")}`;
    if (bucketIndex(`service/${id}`) === 7) ids.push(id);
  }
  const large = ids.map((id) => ({
    service: {
      id,
      host: "large.test",
      tags: [randomBytes(90_000).toString("hex")],
    },
  }));
  const routes = Array.from({ length: 300 }, (_, i) => ({
    route: { name: `r${i}`, paths: [`/r${i}`], service: { name: "small" } },
  }));
  const small = { service: { name: "small", host: "small.test", port: 8080 } };
  // A node that runs no plugins takes them all the same.
  const plugin = { plugin: { name: "key-auth" } };
  await call(cp, "Transact", {
    operations: [...large, small, ...routes, plugin].map((put) => ({ put })),
  });
}

describe.each(examples)("the example clients in $language,", ({ language }) => {
  test("made and called as their README says, change the configuration and follow it, through an outage and a restart", async (context) => {
    const example = ready.get(language)!;
    if (typeof example === "string") {
      context.skip(example);
      return;
    }
    const { dataplane, change, flag } = example;
    let cp = await startCp(dir.join(language, "cp"));
    try {
      await fill(cp);
      const start = () =>
        new ExampleNode(language, [
          ...dataplane,
          dir.join(language, "dp"),
          ...flag("control-plane", cp.address("sync")),
        ]);
      const changes = (path: string, code = 0) =>
        run(
          language,
          [...change, path, ...flag("admin", cp.address("admin"))],
          code,
        );
      {
        // A Manifest with all buckets, then a Delta.
        await using node = start();
        await servesHead(cp, node, 304);
        await node.says("  route r17: /r17 -> http://small.test:8080");
        const name = `from-${language}`;
        const { stdout } = await changes("/one");
        expect(stdout).toMatch(
          /^at revision 1\ncommitted revision 2\n(.*\n)*revision 2 is served by 1 of 1 nodes\nsaw revision 2 by /,
        );
        expect(stdout).toContain(`  create route "${name}"\n`);
        await servesHead(cp, node, 306);
        await node.says(`  route ${name}: /one -> http://example.com:80`);
        const { stderr } = await changes("no-path", 1);
        expect(stderr).toContain(
          `\n  route "${name}": paths[0]: must start with`,
        );

        // The control plane dies and is back: the node comes again by itself, with what it has.
        const [admin, sync] = [cp.address("admin"), cp.address("sync")];
        await cp.kill("SIGKILL");
        cp = await startCp(dir.join(language, "cp"), { admin, sync });
        await call(cp, "Delete", { kind: "route", name: "r17" });
        await servesHead(cp, node, 305);
      }
      // It begins with what is on its disk, and fetches what is different.
      await call(cp, "Delete", { kind: "route", name: "r18" });
      await using node = start();
      await servesHead(cp, node, 304);
      expect(node.lines[0]).toMatch(/^revision 3, /);
    } finally {
      await cp[Symbol.asyncDispose]();
    }
  });
});

test.for(examples)(
  "a node in $language refuses what it must not take up, and changes nothing by it",
  async ({ language }, context) => {
    const example = ready.get(language)!;
    if (typeof example === "string") {
      context.skip(example);
      return;
    }
    await using puppet = await PuppetControlPlane.start();
    await using node = new ExampleNode(language, [
      ...example.dataplane,
      dir.join(language, "refusing"),
      ...example.flag("control-plane", formatHostPort(puppet.address)),
    ]);
    await refuses(puppet);
    await node.says("NACK_CLASS_HELD");
  },
);

test("example nodes are let in over mutual TLS by a certificate for their name, refused with another's, and tokens are sent over TLS", async (context) => {
  const found = [...ready.values()].filter((one) => typeof one !== "string");
  if (found.length === 0) {
    context.skip("neither Go nor Python is there with what they need");
    return;
  }
  const authority = await TestAuthority.make();
  const write = async (name: string, pair: Promise<Pair>) => {
    const { cert, key } = await pair;
    await writeFile(dir.join(`${name}.crt`), cert);
    await writeFile(dir.join(`${name}.key`), key, { mode: 0o600 });
  };
  const ca = dir.join("ca.crt");
  await writeFile(ca, authority.cert);
  await write("cp", authority.controlPlane());
  const cluster = (name: string): [string, string] => [
    dir.join(`${name}.crt`),
    dir.join(`${name}.key`),
  ];
  const [cert, key] = cluster("cp");
  await using cp = await HoldfastProcess.start(
    ...["cp", "--data-dir", dir.join("tls-cp")],
    ...["--admin-listen", "127.0.0.1:0", "--sync-listen", "127.0.0.1:0"],
    ...["--cluster-cert", cert, "--cluster-key", key, "--cluster-ca", ca],
    ...["--admin-cert", cert, "--admin-key", key],
    ...["--admin-token-file", await writeTokens()],
  );
  await using nodes = new CloseStack();
  for (const { language, dataplane, flag } of found) {
    const own = `tls-${language}`;
    await write(own, authority.issue(own));
    const [cert, key] = cluster(own);
    const start = (id: string) =>
      new ExampleNode(language, [
        ...dataplane,
        dir.join(id),
        ...flag("node-id", id),
        ...flag("control-plane", cp.address("sync")),
        ...[...flag("cert", cert), ...flag("key", key), ...flag("ca", ca)],
      ]);
    const other = nodes.use(start(`another-${language}`));
    await nodes.use(start(own)).says("revision 0, root ");
    await other.says("GOODBYE_REASON_IDENTITY");
  }
  for (const { language, change, flag } of found) {
    const admin = [...flag("admin", cp.address("admin")), ...flag("ca", ca)];
    const command = [...change, `/${language}`, ...admin];
    const { stderr } = await run(language, command, 1);
    expect(stderr).toMatch(
      /^unauthenticated: authorization: a token is needed/i,
    );
    const { stdout } = await run(language, command, 0, TOKEN);
    const all = found.length;
    expect(stdout).toContain(` is served by ${all} of ${all} nodes\n`);
  }
});

test("the example client in TypeScript, made and called as its README says, changes the configuration over TLS and follows it", async () => {
  const authority = await TestAuthority.make();
  const { cert, key } = await authority.controlPlane();
  const file = async (name: string, text: string) => {
    await writeFile(dir.join(name), text, { mode: 0o600 });
    return dir.join(name);
  };
  const ca = await file("ts-ca.crt", authority.cert);
  await using cp = await HoldfastProcess.start(
    ...["cp", "--data-dir", dir.join("ts-cp"), "--insecure-sync"],
    ...["--admin-listen", "127.0.0.1:0", "--sync-listen", "127.0.0.1:0"],
    ...["--admin-cert", await file("ts-cp.crt", cert)],
    ...["--admin-key", await file("ts-cp.key", key)],
    ...["--admin-token-file", await writeTokens()],
  );
  // The packages are this repository's own: nothing has to be installed.
  const [, generate, change] = readmeCommands("typescript").map((command) =>
    typescript.translate(command),
  );
  await run("typescript", generate!);
  const admin = ["--admin", `https://${cp.address("admin")}`, "--ca", ca];
  const changes = (path: string, code = 0) =>
    run("typescript", [...change!.slice(0, -1), path, ...admin], code, TOKEN);
  const { stdout } = await changes("/one");
  expect(stdout).toMatch(
    /^at revision 0\ncommitted revision 1\n(.*\n)*revision 1 is served by 0 of 0 nodes\nsaw revision 1 by /,
  );
  expect(stdout).toContain('  create route "from-ts"\n');
  const { stderr } = await changes("no-path", 1);
  expect(stderr).toContain('\n  route "from-ts": paths[0]: must start with');
});
