import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
} from "@connectrpc/connect-node";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigService } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import type { ListenerTlsFiles } from "../../../src/runtime/tls/listener-material.ts";
import { ListenerTls } from "../../../src/runtime/tls/listener-tls.ts";
import { bearing, TokenFile } from "../../support/admin-callers.ts";
import { startAdminServer } from "../../support/admin-server.ts";
import {
  TestAuthority,
  type Pair,
} from "../../support/cluster-certificates.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { TempDir } from "../../support/temp-dir.ts";

let stack: CloseStack;
let dir: TempDir;
let authority: TestAuthority;
let files: ListenerTlsFiles & { clientCaFile: string };
beforeEach(async () => {
  stack = new CloseStack();
  dir = stack.use(await TempDir.make());
  authority = await TestAuthority.make();
  const own = await authority.issue("admin", {
    server: true,
    hosts: ["127.0.0.1"],
  });
  files = {
    certFile: dir.join("admin.crt"),
    keyFile: dir.join("admin.key"),
    clientCaFile: dir.join("clients.crt"),
  };
  await writeFile(files.certFile, own.cert);
  await writeFile(files.keyFile, own.key);
  await writeFile(files.clientCaFile, authority.cert);
});
afterEach(() => stack.close());

async function start(
  { clientCaFile, crlFile }: Partial<ListenerTlsFiles>,
  tokenFile?: string,
) {
  const { certFile, keyFile } = files;
  const tls = stack.use(
    await ListenerTls.open({
      certFile,
      keyFile,
      clientCaFile,
      crlFile,
      flags: "--admin",
      clock: new ManualClock(Date.now()),
      logger: silentLogger,
    }),
  );
  const server = await startAdminServer(stack, {
    tls,
    ...(tokenFile === undefined ? {} : { tokenFile }),
  });
  return { server, tls };
}

function clients(url: string, pair?: Pair, token?: string) {
  const nodeOptions = { ca: authority.cert, ...pair };
  const options = { baseUrl: url, nodeOptions, interceptors: bearing(token) };
  return [
    createConnectTransport({ ...options, httpVersion: "1.1" }),
    createGrpcTransport(options),
  ].map((transport) => createClient(ConfigService, transport));
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "Ok";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
}

const listing = { kind: "service" };

test("serves HTTP/1.1 and HTTP/2 over TLS, for tokens, and nothing in clear text", async () => {
  const tokens = await TokenFile.make(dir.join("tokens.yml"), {
    reader: { roles: { default: "read" } },
  });
  const { server } = await start({}, tokens.file);
  for (const client of clients(server.url, undefined, tokens.tokenOf("reader")))
    expect(await codeOf(client.list(listing))).toBe("Ok");
  for (const client of clients(server.url))
    expect(await codeOf(client.list(listing))).toBe("Unauthenticated");
  await expect(
    fetch(server.url.replace("https", "http") + "/status/live"),
  ).rejects.toThrow();
});

test("with an authority for clients nobody gets as far as a request without a certificate by it", async () => {
  const { server } = await start(files);
  const other = await TestAuthority.make("another authority");
  const ann = await authority.issue("ann");
  for (const pair of [undefined, await other.issue("ann")])
    for (const client of clients(server.url, pair))
      expect(await codeOf(client.list(listing))).not.toBe("Ok");
  for (const client of clients(server.url, ann)) {
    expect(await codeOf(client.list(listing))).toBe("Ok");
    expect(await codeOf(client.rollback({ revision: 0n }))).toBe("Ok");
  }
  const { records } = await server.trail.list({
    before: undefined,
    limit: 9,
    matches: () => true,
  });
  expect(new Set(records.map(({ caller }) => caller))).toEqual(
    new Set(["ann"]),
  );
});

test("with tokens too, a certificate has the roles that its name has there, and no others", async () => {
  await writeFile(
    dir.join("tokens.yml"),
    "tokens: [{name: ann, certificate: ann.example, roles: {default: read}}]",
  );
  const { server } = await start(files, dir.join("tokens.yml"));
  const ann = await authority.issue("ann.example");
  const bob = await authority.issue("bob.example");
  for (const client of clients(server.url, ann)) {
    expect(await codeOf(client.list(listing))).toBe("Ok");
    expect(await codeOf(client.rollback({ revision: 0n }))).toBe(
      "PermissionDenied",
    );
  }
  for (const client of clients(server.url, bob))
    expect(await codeOf(client.list(listing))).toBe("Unauthenticated");
});

test("takes up renewed files; when other clients are trusted, those of before are gone, and cannot resume", async () => {
  const { server, tls } = await start(files);
  const ann = await authority.issue("ann");
  const { host, port } = server.address;
  const options = { host, port, ca: authority.cert, ...ann };
  const socket = connect(options);
  let session: Buffer | undefined;
  socket.on("session", (next) => (session = next));
  await once(socket, "session");
  const closed = once(socket, "close");

  const other = await TestAuthority.make("another authority");
  await writeFile(files.clientCaFile, other.cert);
  await tls.reload();
  await closed;
  const again = connect({ ...options, session });
  again.on("error", () => undefined);
  again.write("GET /status/live HTTP/1.1\r\nhost: x\r\n\r\n");
  let received = "";
  again.on("data", (data) => (received += String(data)));
  await once(again, "close");
  expect(received).toBe("");
  const [client] = clients(server.url, await other.issue("bob"));
  expect(
    await codeOf(
      client?.list(listing) ?? Promise.reject(new Error("no client")),
    ),
  ).toBe("Ok");
});

test("a revoked certificate is refused and its connections are cut, and nobody else's", async () => {
  const crlFile = dir.join("clients.crl");
  await writeFile(crlFile, await authority.revoke());
  const { server, tls } = await start({ ...files, crlFile });
  const ann = await authority.issue("ann");
  const bob = await authority.issue("bob");
  const { host, port } = server.address;
  const open = (pair: Pair, session?: Buffer) => {
    const socket = connect({
      host,
      port,
      ca: authority.cert,
      ...pair,
      session,
    });
    socket.on("error", () => undefined);
    return socket;
  };
  const socket = open(ann);
  let session: Buffer | undefined;
  socket.on("session", (next) => (session = next));
  await once(socket, "session");
  const closed = once(socket, "close");
  const watching = clients(server.url, ann).map((client) =>
    client.watch({})[Symbol.asyncIterator](),
  );
  for (const stream of watching) await stream.next();
  const others = clients(server.url, bob).map((client) =>
    client.watch({})[Symbol.asyncIterator](),
  );
  for (const stream of others) await stream.next();

  await writeFile(crlFile, await authority.revoke(ann.cert));
  await tls.reload();
  await closed;
  for (const stream of watching) await expect(stream.next()).rejects.toThrow();
  for (const client of clients(server.url, ann))
    expect(await codeOf(client.list(listing))).not.toBe("Ok");
  const again = open(ann, session);
  again.write("GET /status/live HTTP/1.1\r\nhost: x\r\n\r\n");
  let received = "";
  again.on("data", (data) => (received += String(data)));
  await once(again, "close");
  expect(received).toBe("");
  const [client] = clients(server.url, bob);
  await client?.put({
    resource: { kind: { case: "consumer", value: { username: "u" } } },
  });
  for (const stream of others) {
    expect((await stream.next()).done).toBe(false);
    await stream.return?.();
  }
});

test("a revocation list that is out of date lets nobody in, and says so", async () => {
  const crlFile = dir.join("clients.crl");
  await writeFile(crlFile, await authority.listUntil(Date.now() + 60_000));
  const logger = new RecordingLogger();
  const clock = new ManualClock(Date.now());
  const tls = stack.use(
    await ListenerTls.open({
      ...files,
      crlFile,
      flags: "--admin",
      clock,
      logger,
    }),
  );
  const server = await startAdminServer(stack, { tls });
  const [client] = clients(server.url, await authority.issue("ann"));
  if (client === undefined) throw new Error("no client");
  expect(await codeOf(client.list(listing))).toBe("Ok");
  clock.advance(61_000);
  await tls.reload();
  await tls.reload();
  expect(
    logger.events.filter((event) => event === "listener_tls.crl_out_of_date"),
  ).toHaveLength(1);
  const [another] = clients(server.url, await authority.issue("bob"));
  if (another === undefined) throw new Error("no client");
  expect(await codeOf(another.list(listing))).not.toBe("Ok");
});

test("files that cannot be used are told with their flag", async () => {
  const open = (change: Partial<ListenerTlsFiles>) =>
    ListenerTls.open({
      ...files,
      ...change,
      flags: "--admin",
      clock: new ManualClock(),
      logger: silentLogger,
    });
  await expect(open({ certFile: dir.join("none") })).rejects.toThrow(
    /--admin-cert .*none: cannot be read/,
  );
  await expect(open({ keyFile: files.certFile })).rejects.toThrow(
    /--admin-key /,
  );
  await expect(open({ clientCaFile: files.certFile })).rejects.toThrow(
    /--admin-client-ca .*no authority/,
  );
  await expect(open({ crlFile: files.certFile })).rejects.toThrow(
    /--admin-crl .*no revocation list/,
  );
});
