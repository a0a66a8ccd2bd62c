import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import {
  connect as connectTls,
  createSecureContext,
  TLSSocket,
} from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import type { Chain } from "../../../src/runtime/tls/chains.ts";
import { LiveSockets } from "../../../src/runtime/tls/live-sockets.ts";
import {
  readRevocations,
  type Revocations,
} from "../../../src/runtime/tls/revocations.ts";
import { TestAuthority } from "../../support/cluster-certificates.ts";

let stack: CloseStack;
let server: Server;
beforeEach(async () => {
  stack = new CloseStack();
  server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(async () => {
    server.close();
    await once(server, "close");
  });
});
afterEach(() => stack.close());

/** A connection: the end that the server has, and the peer's. */
async function connection(): Promise<{ ours: Socket; theirs: Socket }> {
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const theirs = connect(portOf(server), "127.0.0.1");
  const [ours] = await accepted;
  for (const end of [ours, theirs]) {
    // Being cut is an error to whoever writes.
    end.on("error", () => undefined);
    stack.defer(async () => {
      end.destroy();
    });
  }
  return { ours, theirs };
}

function portOf(listening: Server): number {
  const address = listening.address();
  return address !== null && typeof address === "object" ? address.port : 0;
}

/** A root, one below it, and two nodes' certificates that are by the one below. */
async function authorities() {
  const root = await TestAuthority.root("root");
  const between = await root.below("between");
  const [rootCert, betweenCert] = [root, between].map(
    ({ cert }) => new X509Certificate(cert),
  ) as [X509Certificate, X509Certificate];
  const issue = async (name: string): Promise<Chain> => {
    const { cert } = await between.issue(name);
    const chain = [new X509Certificate(cert), betweenCert, rootCert];
    return { chain, whole: true };
  };
  return { root, between, first: await issue("a"), second: await issue("b") };
}

const listOf = async (
  authority: TestAuthority,
  ...revoked: readonly (X509Certificate | undefined)[]
): Promise<Revocations> =>
  readRevocations(
    await authority.revoke(...revoked.map((each) => String(each))),
  );

/** Open connections with these chains. */
async function live(
  ...chains: readonly Chain[]
): Promise<{ sockets: LiveSockets; ends: readonly Socket[] }> {
  const sockets = new LiveSockets();
  const ends: Socket[] = [];
  for (const chain of chains) {
    const { ours } = await connection();
    sockets.add(ours, chain);
    ends.push(ours);
  }
  return { sockets, ends };
}

test("the connections of a revoked certificate are cut, all of them, and no others", async () => {
  const { between, first, second } = await authorities();
  const { sockets, ends } = await live(first, second, first);
  expect(sockets.cut(await listOf(between, first.chain[0]))).toBe(2);
  expect(ends.map(({ destroyed }) => destroyed)).toEqual([true, false, true]);
});

test("so are the connections of all below a revoked authority", async () => {
  const { root, first, second } = await authorities();
  const other = await root.issue("c");
  const third = { chain: [new X509Certificate(other.cert)], whole: true };
  const { sockets, ends } = await live(first, third, second);
  expect(sockets.cut(await listOf(root, first.chain[1]))).toBe(2);
  expect(ends.map(({ destroyed }) => destroyed)).toEqual([true, false, true]);
});

test("one of whom it is not known what is above him is cut whatever the list says; those whose whole chain is known stay", async () => {
  const { between, first, second } = await authorities();
  // All that a server on Node 24.21.0 is told of a client with certificates between.
  const part: Chain = { chain: first.chain.slice(0, 1), whole: false };
  const { sockets, ends } = await live(part, second);
  expect(sockets.cut(await listOf(between))).toBe(1);
  expect(ends.map(({ destroyed }) => destroyed)).toEqual([true, false]);
});

test("a connection that has ended is forgotten, and none is cut twice", async () => {
  const { between, first, second } = await authorities();
  const { sockets, ends } = await live(first, second);
  const revoked = await listOf(between, first.chain[0], second.chain[0]);
  const closed = once(ends[0]!, "close");
  ends[0]?.destroy();
  await closed;
  expect(sockets.cut(revoked)).toBe(1);
  // Not closed yet: that is told in a later turn.
  expect(sockets.cut(revoked)).toBe(0);
});

test("a peer that does not read is cut as well, though what was written to it has not left", async () => {
  const ca = await TestAuthority.make();
  const pair = await ca.controlPlane();
  const { first } = await authorities();
  const { ours, theirs } = await connection();
  const secure = new TLSSocket(ours, {
    isServer: true,
    secureContext: createSecureContext(pair),
  });
  const peer = connectTls({ socket: theirs, rejectUnauthorized: false });
  for (const end of [secure, peer]) end.on("error", () => undefined);
  await once(peer, "secureConnect");
  const sockets = new LiveSockets();
  sockets.add(secure, { ...first, whole: false });
  // More than there is room for between two sockets of one machine.
  secure.write(Buffer.alloc(16 << 20));
  const gone = once(peer, "close");
  expect(sockets.cut(await listOf(ca))).toBe(1);
  expect(ours.destroyed).toBe(true);
  peer.resume();
  await gone;
});
