import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import {
  checkServerIdentity,
  connect as connectTls,
  type ConnectionOptions,
  type DetailedPeerCertificate,
  type PeerCertificate,
} from "node:tls";
import type { Clock } from "../../../runtime/clock.ts";
import { UpstreamSessions } from "../http2/upstream-sessions.ts";
import { KeptConnections } from "./direct/kept-connections.ts";

/** How an upstream's TLS is spoken. */
export interface TlsSettings {
  /** Whether the upstream's certificate is verified. */
  readonly verify: boolean;
  /** The most certificates between the upstream's own and the authority's. Absent: no limit of ours. */
  readonly depth?: number;
  /** Authorities in PEM; none: those of node. */
  readonly authorities: readonly string[];
  /** Shown to the upstream, with its key, in PEM; a second one has another type of key. */
  readonly identities: readonly {
    readonly cert: string;
    readonly key: string;
  }[];
}

/** How many connections are kept, and how long: idle ones to one place, requests that one serves, idle seconds. */
const KEEP = { maxIdle: 512, maxUses: 10_000, idleSeconds: 60 } as const;
/** TLS sessions that are remembered, so that a next connection is made with less. */
const MAX_SESSIONS = 100;

/** The connections to upstreams with one kind of TLS, or in clear text. */
export class UpstreamAgent {
  /** Those that node manages. */
  readonly node: HttpAgent | HttpsAgent;
  /** Those that are made with `connect`. */
  readonly kept: KeptConnections;
  /** Those of HTTP/2, made with `connect` too. */
  readonly http2: UpstreamSessions;
  /** Undefined for clear text. */
  readonly #tls: ConnectionOptions | undefined;
  readonly #sessions = new Map<string, Buffer>();

  /** @param settings Undefined for clear text. */
  constructor(clock: Clock, settings?: TlsSettings) {
    const options = {
      keepAlive: true,
      maxFreeSockets: KEEP.maxIdle,
      timeout: KEEP.idleSeconds * 1000,
    };
    this.#tls = settings === undefined ? undefined : tlsOptions(settings);
    this.node =
      this.#tls === undefined
        ? new HttpAgent(options)
        : new HttpsAgent({ ...options, ...this.#tls });
    this.kept = new KeptConnections(clock, KEEP);
    this.http2 = new UpstreamSessions(clock);
  }

  /** Connections that are open, in use or idle. */
  get open(): number {
    const { sockets, freeSockets } = this.node;
    return (
      this.kept.open + this.http2.open + count(sockets) + count(freeSockets)
    );
  }

  /** Connections that serve a request. */
  get busy(): number {
    return this.kept.busy + this.http2.busy + count(this.node.sockets);
  }

  /**
   * Begins to connect.
   *
   * @param serverName What the upstream's TLS is asked for; empty for nothing.
   * @param alpn The one protocol that is offered in the handshake; absent: none is.
   */
  connect(
    host: string,
    port: number,
    serverName: string,
    alpn?: string,
  ): Socket {
    const options = { host, port, noDelay: true };
    if (this.#tls === undefined) return connectTcp(options);
    const place = `${host} ${port} ${serverName} ${alpn ?? ""}`;
    const session = this.#sessions.get(place);
    const socket = connectTls({
      ...this.#tls,
      ...options,
      servername: serverName,
      ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
      ...(session === undefined ? {} : { session }),
    });
    socket.on("session", (next: Buffer) => {
      if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.clear();
      this.#sessions.set(place, next);
    });
    socket.once("error", () => this.#sessions.delete(place));
    return socket;
  }

  /** Closes what is idle, and keeps no connection from now on. */
  retire(): void {
    this.kept.retire();
    this.http2.retire();
    this.node.maxFreeSockets = 0;
    for (const sockets of Object.values(this.node.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }

  /** Closes all at once. */
  destroy(): void {
    this.kept.destroy();
    this.http2.destroy();
    this.node.destroy();
  }
}

function tlsOptions({
  verify,
  depth,
  authorities,
  identities,
}: TlsSettings): ConnectionOptions {
  return {
    rejectUnauthorized: verify,
    ...(authorities.length > 0 ? { ca: [...authorities] } : {}),
    ...(identities.length > 0
      ? {
          cert: identities.map(({ cert }) => cert),
          key: identities.map(({ key }) => key),
        }
      : {}),
    checkServerIdentity: (host, certificate) =>
      checkServerIdentity(host, certificate) ?? checkDepth(certificate, depth),
  };
}

/** node gives the whole chain here, though its types do not say so; the authority's own certificate names itself. */
function checkDepth(
  certificate: PeerCertificate,
  depth: number | undefined,
): Error | undefined {
  if (depth === undefined) return undefined;
  let between = -1;
  let at = certificate;
  while (between <= depth) {
    const issuer: DetailedPeerCertificate | undefined = issuerOf(at);
    if (issuer === undefined || issuer.fingerprint256 === at.fingerprint256)
      break;
    between++;
    at = issuer;
  }
  return between > depth
    ? Object.assign(
        new Error(
          `the upstream's certificate has ${between} certificates between it and the authority, more than tls_verify_depth ${depth}`,
        ),
        { code: "CERT_CHAIN_TOO_LONG" },
      )
    : undefined;
}

function issuerOf(
  certificate: PeerCertificate,
): DetailedPeerCertificate | undefined {
  return "issuerCertificate" in certificate
    ? (certificate as DetailedPeerCertificate).issuerCertificate
    : undefined;
}

function count(sockets: NodeJS.ReadOnlyDict<readonly unknown[]>): number {
  return Object.values(sockets).reduce(
    (sum, list) => sum + (list?.length ?? 0),
    0,
  );
}
