import { createHash } from "node:crypto";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import {
  checkServerIdentity,
  type DetailedPeerCertificate,
  type PeerCertificate,
} from "node:tls";

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

/** An idle connection is closed after this long. */
const IDLE_MS = 60_000;
const KEPT = { keepAlive: true, timeout: IDLE_MS } as const;

/** The connections to upstreams with one kind of TLS, or in clear text. */
export class UpstreamAgent {
  /** Those that node manages. */
  readonly node: HttpAgent | HttpsAgent;

  constructor(node: HttpAgent | HttpsAgent) {
    this.node = node;
  }

  /** Connections that are open, in use or idle. */
  get open(): number {
    return count(this.node.sockets) + count(this.node.freeSockets);
  }

  /** Connections that serve a request. */
  get busy(): number {
    return count(this.node.sockets);
  }

  /** Closes what is idle, and keeps no connection from now on. */
  retire(): void {
    this.node.maxFreeSockets = 0;
    for (const sockets of Object.values(this.node.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }

  /** Closes all at once. */
  destroy(): void {
    this.node.destroy();
  }
}

/**
 * The connections to upstreams, kept and used again, over revisions too. Connections are shared only by services whose
 * TLS settings are the same.
 */
export class AgentPool {
  readonly plain = new UpstreamAgent(new HttpAgent(KEPT));
  readonly #secure = new Map<string, UpstreamAgent>();

  /** The connections for these settings. */
  secure(settings: TlsSettings): UpstreamAgent {
    const name = createHash("sha256")
      .update(JSON.stringify(settings))
      .digest("base64");
    let agent = this.#secure.get(name);
    if (agent === undefined)
      this.#secure.set(
        name,
        (agent = new UpstreamAgent(secureAgent(settings))),
      );
    return agent;
  }

  /** Closes the idle connections of all settings but these; the others when their requests are done. */
  keepOnly(used: Pick<ReadonlySet<UpstreamAgent>, "has">): void {
    for (const [name, agent] of this.#secure) {
      if (used.has(agent)) continue;
      this.#secure.delete(name);
      agent.retire();
    }
  }

  /** Connections that are open, in use or idle. */
  openConnections(): number {
    return this.#all().reduce((sum, { open }) => sum + open, 0);
  }

  /** Connections that serve a request. */
  busyConnections(): number {
    return this.#all().reduce((sum, { busy }) => sum + busy, 0);
  }

  /** Closes all connections at once. */
  destroy(): void {
    for (const agent of this.#all()) agent.destroy();
    this.#secure.clear();
  }

  #all(): UpstreamAgent[] {
    return [this.plain, ...this.#secure.values()];
  }
}

function secureAgent(settings: TlsSettings): HttpsAgent {
  const { verify, depth, authorities, identities } = settings;
  return new HttpsAgent({
    ...KEPT,
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
  });
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
