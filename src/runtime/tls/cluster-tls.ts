import type { X509Certificate } from "node:crypto";
import { Gauge, type Registry } from "prom-client";
import type { Socket } from "node:net";
import { isIP } from "node:net";
import {
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../clock.ts";
import type { Gatekeeper, GivenUp } from "../connection-listener.ts";
import { FollowedFiles } from "../followed-files.ts";
import { formatHostPort, type HostPort } from "../host-port.ts";
import type { Connector } from "../link.ts";
import type { Logger } from "../logger.ts";
import type { PeerCertificate } from "../peer.ts";
import { wrongPattern } from "./certificate-names.ts";
import { Chains } from "./chains.ts";
import { givenUp, handshakeErrorOf } from "./handshake-error.ts";
import { HandshakeReport } from "./handshake-report.ts";
import { HandshakeServer, type ServerContext } from "./handshake-server.ts";
import { LiveSockets } from "./live-sockets.ts";
import {
  checkMaterial,
  readRaw,
  type ClusterTlsFiles,
  type Material,
  type RawMaterial,
} from "./material.ts";
import { Notices } from "./notices.ts";
import { checkPeer, type CheckedPeer } from "./peer-check.ts";
import { part, secured } from "./secured.ts";

export interface ClusterTlsOptions extends ClusterTlsFiles {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** How often the files are looked at. Default 5 s. */
  readonly pollMs?: number;
  /** How long a handshake may take. Default 10 s. */
  readonly handshakeMs?: number;
}

const POLL_MS = 5_000;
const HANDSHAKE_MS = 10_000;
/** As long as TLS 1.3 allows: nodes get their ticket when they connect, and stay connected. */
const SESSION_S = 7 * 24 * 3600;

/**
 * The link's TLS, for either side of it. Shared mode: everybody has the same pair, and takes nobody with another. PKI
 * mode: authorities say who belongs to the fleet, and certificates who is which node. The files are followed: what
 * changes holds for the next connection, and connections that are open stay, but for revoked ones.
 */
export class ClusterTls implements Gatekeeper, Connector, AsyncDisposable {
  readonly mode: "shared" | "pki";
  readonly #options: ClusterTlsOptions;
  readonly #report: HandshakeReport;
  readonly #notices: Notices;
  readonly #live = new LiveSockets();
  readonly #chains = new Chains();
  /** Own certificates of before, which others may still have, with their ends. */
  readonly #previous = new Map<string, number>();
  /** The last session with each control plane, and the chain that it was agreed upon with. */
  readonly #sessions = new Map<
    string,
    { readonly ticket: Buffer; readonly chain: readonly X509Certificate[] }
  >();
  readonly #files: FollowedFiles<RawMaterial, Material>;
  #context: SecureContext;
  #server: HandshakeServer | undefined;

  private constructor(
    options: ClusterTlsOptions,
    files: FollowedFiles<RawMaterial, Material>,
  ) {
    const material = files.current;
    this.#options = options;
    this.#files = files;
    this.mode = material.pins === undefined ? "pki" : "shared";
    this.#chains.use(material.authorities, material.others);
    this.#context = createSecureContext(material.context);
    this.#report = new HandshakeReport(options);
    this.#notices = new Notices(options);
    const expires = (): number => files.current.own.expiresAtMs;
    new Gauge({
      name: "holdfast_cluster_certificate_expires_timestamp_seconds",
      help: "When the certificate of the link between control plane and data planes expires, in seconds since 1970.",
      labelNames: ["which"],
      registers: [options.metrics],
      collect() {
        this.set({ which: "own" }, expires() / 1000);
      },
    });
  }

  /**
   * Reads the files, and follows them from then on. An own certificate that has expired is no reason not to start: a
   * data plane serves what it has, and takes up a renewed one when it comes.
   *
   * @throws ConfigError that names the file and the flag
   */
  static async open(options: ClusterTlsOptions): Promise<ClusterTls> {
    const { caFile, crlFile, allowedNames = [] } = options;
    if (caFile === undefined && crlFile !== undefined)
      throw needsCa("--cluster-crl");
    if (caFile === undefined && allowedNames.length > 0)
      throw needsCa("--cluster-allowed-names");
    const [wrong] = allowedNames.flatMap((name) => wrongPattern(name) ?? []);
    if (wrong !== undefined)
      throw new ConfigError(
        "failed_precondition",
        `--cluster-allowed-names: ${wrong}`,
      );
    const files = await FollowedFiles.open({
      read: () => readRaw(options),
      check: (raw) => checkMaterial(options, raw),
      clock: options.clock,
      pollMs: options.pollMs ?? POLL_MS,
    });
    let tls;
    try {
      tls = new ClusterTls(options, files);
    } catch (cause) {
      // OpenSSL's own rules, such as too short a key.
      throw new ConfigError(
        "failed_precondition",
        `--cluster-cert ${options.certFile}: it cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
    tls.#follow();
    return tls;
  }

  /** The own certificate. */
  get certificate(): PeerCertificate {
    return this.#material.own;
  }

  /** The server's side of a handshake. Rejects with a HandshakeError, which has been logged, and destroys the socket. */
  async accept(
    socket: Socket,
    address: string,
    hurried: AbortSignal,
  ): Promise<{ socket: TLSSocket; certificate: PeerCertificate }> {
    try {
      this.#server ??= new HandshakeServer(
        this.#serverContext(),
        this.#options.handshakeMs ?? HANDSHAKE_MS,
      );
      const secure = await this.#server.handshake(socket, address);
      const { peer } = this.#check(secure);
      return { socket: secure, certificate: peer };
    } catch (error) {
      socket.destroy();
      const failure = hurried.aborted
        ? givenUp("hurried")
        : handshakeErrorOf(error);
      this.#report.failed(address, failure);
      throw failure;
    }
  }

  gaveUp(address: string, why: GivenUp): void {
    this.#report.failed(address, givenUp(why));
  }

  /** The client's side. Rejects with a HandshakeError, which has been logged. */
  async connect(socket: Socket, target: HostPort): Promise<TLSSocket> {
    const key = formatHostPort(target);
    const { handshakeMs = HANDSHAKE_MS } = this.#options;
    const material = this.#material;
    const session = this.#sessions.get(key);
    const secure = connect({
      socket,
      secureContext: this.#context,
      // Judged in #check, in words.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["h2"],
      ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
      ...(session === undefined ? {} : { session: session.ticket }),
    });
    let accepted: readonly X509Certificate[] | undefined;
    let ticket: Buffer | undefined;
    const keep = (): void => {
      // Of files that have changed meanwhile: it would bring the trust of then back.
      if (accepted === undefined || this.#material !== material) return;
      if (ticket !== undefined)
        this.#sessions.set(key, { ticket, chain: accepted });
    };
    secure.on("session", (next) => {
      ticket = next;
      keep();
    });
    try {
      await secured(secure, handshakeMs);
      const resumed = secure.isSessionReused() ? session : undefined;
      accepted = this.#check(secure, target.host, resumed?.chain).chain.chain;
      keep();
      secure.once("close", () => {
        // Not a word: it is refused, perhaps because it was resumed. The next one is not.
        if (secure.bytesRead === 0) this.#sessions.delete(key);
      });
      return secure;
    } catch (error) {
      await part(secure);
      this.#sessions.delete(key);
      const failure = handshakeErrorOf(error);
      this.#report.failed(key, failure);
      throw failure;
    }
  }

  /** Looks at the files now. Concurrent callers wait for the same look. */
  reload(): Promise<void> {
    return this.#files.reload();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]();
    this.#server?.close();
  }

  #serverContext(): ServerContext {
    return {
      ...this.#material.context,
      sessionIdContext: "holdfast",
      sessionTimeout: SESSION_S,
    };
  }

  /** @throws HandshakeError */
  #check(
    secure: TLSSocket,
    host?: string,
    known?: readonly X509Certificate[],
  ): CheckedPeer {
    const nowMs = this.#options.clock.now();
    const { pins, revocations } = this.#material;
    const checked = checkPeer(secure, {
      nowMs,
      pins: pins && this.#pins(pins, nowMs),
      revocations,
      allowedNames: this.#options.allowedNames ?? [],
      host,
      chains: this.#chains,
      known,
    });
    this.#report.succeeded(secure.isSessionReused());
    if (this.#options.crlFile !== undefined)
      this.#live.add(secure, checked.chain);
    return checked;
  }

  /** The own pins, and the own certificates of before as long as they are valid. */
  #pins(
    pins: ReadonlyMap<string, number>,
    nowMs: number,
  ): ReadonlyMap<string, number> {
    if (this.#previous.size === 0) return pins;
    for (const [fingerprint, endMs] of this.#previous)
      if (endMs < nowMs) this.#previous.delete(fingerprint);
    return new Map([...pins, ...this.#previous]);
  }

  #follow(): void {
    this.#notices.inUse(this.#material);
    this.#files.follow({
      onChange: (next, before) => {
        this.#use(next, before);
      },
      onUnusable: (reason) => {
        this.#options.logger.error("tls.reload_failed", {
          reason,
          consequence: "the certificate of before stays in use",
        });
      },
      onLook: () => {
        this.#notices.look(this.#material);
      },
    });
  }

  get #material(): Material {
    return this.#files.current;
  }

  #use(material: Material, before: Material): void {
    const context = createSecureContext(material.context);
    this.#chains.use(material.authorities, material.others);
    this.#context = context;
    this.#sessions.clear();
    this.#server?.update(this.#serverContext());
    if (
      this.mode === "shared" &&
      before.own.fingerprint !== material.own.fingerprint
    )
      this.#previous.set(before.own.fingerprint, before.own.expiresAtMs);
    this.#previous.delete(material.own.fingerprint);
    const revoked =
      material.revocations === undefined
        ? 0
        : this.#live.cut(material.revocations);
    this.#options.logger.info("tls.reloaded", {
      sha256: material.own.fingerprint,
      expires: new Date(material.own.expiresAtMs).toISOString(),
      ...(revoked === 0 ? {} : { revoked_connections_cut: revoked }),
    });
    this.#notices.inUse(material);
  }
}

function needsCa(flag: string): ConfigError {
  return new ConfigError(
    "failed_precondition",
    `${flag} needs --cluster-ca: without authorities everybody has the same certificate`,
  );
}
