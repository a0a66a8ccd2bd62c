import { randomBytes } from "node:crypto";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { Clock } from "../clock.ts";
import { FollowedFiles } from "../followed-files.ts";
import type { Logger } from "../logger.ts";
import { Chains, shownBeside } from "./chains.ts";
import {
  checkListenerMaterial,
  readListenerFiles,
  type ListenerMaterial,
  type ListenerTlsFiles,
  type RawListenerMaterial,
} from "./listener-material.ts";
import { LiveSockets } from "./live-sockets.ts";

export interface ListenerTlsOptions extends ListenerTlsFiles {
  /** What the flags are called, for messages: "--admin" for --admin-cert, --admin-key, --admin-client-ca and --admin-crl. */
  readonly flags: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the files are looked at. Default 5 s. */
  readonly pollMs?: number;
}

/** What a listener's handshakes are done with. */
export interface ListenerContext {
  readonly context: SecureContextOptions;
  /** Sessions of before are not resumed with another one. */
  readonly ticketKeys: Buffer;
}

const POLL_MS = 5_000;

/** A listener's certificate and whom it trusts. The files are followed; what cannot be used changes nothing. */
export class ListenerTls implements AsyncDisposable {
  readonly #options: ListenerTlsOptions;
  readonly #chains = new Chains();
  readonly #live = new LiveSockets();
  #current: ListenerContext;
  #listIsOld = false;
  readonly #files: FollowedFiles<RawListenerMaterial, ListenerMaterial>;
  #listener:
    ((next: ListenerContext, othersTrusted: boolean) => void) | undefined;

  private constructor(
    options: ListenerTlsOptions,
    files: FollowedFiles<RawListenerMaterial, ListenerMaterial>,
  ) {
    const { logger } = options;
    this.#options = options;
    this.#files = files;
    this.#current = contextOf(files.current);
    this.#chains.use(files.current.authorities, []);
    this.#lookAtList();
    files.follow({
      onChange: (next, before) => {
        this.#use(next, before);
      },
      onUnusable: (reason) => {
        logger.error("listener_tls.reload_failed", {
          reason,
          consequence: "the files of before stay in use",
        });
      },
      onLook: () => {
        this.#lookAtList();
      },
    });
  }

  /** @throws ConfigError that names the flag and the file. */
  static async open(options: ListenerTlsOptions): Promise<ListenerTls> {
    const { clock, pollMs = POLL_MS } = options;
    const files = await FollowedFiles.open({
      read: () => readListenerFiles(options),
      check: (raw) => checkListenerMaterial(options, raw),
      clock,
      pollMs,
    });
    return new ListenerTls(options, files);
  }

  get current(): ListenerContext {
    return this.#current;
  }

  /** Whether every client has to show a certificate. */
  get wantsClientCertificates(): boolean {
    return this.#options.clientCaFile !== undefined;
  }

  /**
   * Whether somebody may stay whose handshake is through. OpenSSL has looked at lists of revoked certificates, but not
   * when a session was resumed. Who may stay is cut when its certificate is revoked later.
   */
  admits(socket: TLSSocket): boolean {
    const { revocations } = this.#files.current;
    const certificate = socket.getPeerX509Certificate();
    if (this.#options.crlFile === undefined || certificate === undefined)
      return true;
    const known = this.#chains.above(
      certificate,
      socket.isSessionReused() ? [] : shownBeside(certificate),
    );
    const { chain } = known;
    if (
      revocations !== undefined &&
      (revocations.nextUpdateMs < this.#options.clock.now() ||
        chain.some((each) => revocations.has(each)))
    )
      return false;
    this.#chains.learn(chain.slice(1));
    this.#live.add(socket, known);
    return true;
  }

  /** Calls back when the files have changed, and says whether other clients are trusted now. */
  onChange(
    listener: (next: ListenerContext, othersTrusted: boolean) => void,
  ): void {
    this.#listener = listener;
  }

  /** Looks at the files now. Concurrent callers wait for the same look. */
  reload(): Promise<void> {
    return this.#files.reload();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]();
  }

  #use(next: ListenerMaterial, before: ListenerMaterial): void {
    const { flags, logger } = this.#options;
    this.#current = contextOf(next);
    this.#chains.use(next.authorities, []);
    this.#listIsOld = false;
    const revoked =
      next.revocations === undefined ? 0 : this.#live.cut(next.revocations);
    logger.info("listener_tls.reloaded", {
      of: flags,
      ...(revoked === 0 ? {} : { revoked_connections_cut: revoked }),
    });
    this.#listener?.(this.#current, next.clientCa !== before.clientCa);
  }

  /** Says, once, that a list should have been replaced. */
  #lookAtList(): void {
    const { clock, logger, crlFile } = this.#options;
    const { revocations } = this.#files.current;
    const isOld =
      revocations !== undefined && revocations.nextUpdateMs < clock.now();
    if (isOld && !this.#listIsOld)
      logger.error("listener_tls.crl_out_of_date", {
        file: crlFile,
        since: new Date(revocations.nextUpdateMs).toISOString(),
        consequence:
          "no client certificate is taken until there is a newer one",
      });
    this.#listIsOld = isOld;
  }
}

function contextOf({ context }: ListenerMaterial): ListenerContext {
  return { context, ticketKeys: randomBytes(48) };
}
