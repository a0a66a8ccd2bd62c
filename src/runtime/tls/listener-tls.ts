import { randomBytes } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import type { Clock } from "../clock.ts";
import { FollowedFiles } from "../followed-files.ts";
import type { Logger } from "../logger.ts";
import {
  checkListenerMaterial,
  readListenerFiles,
  type ListenerMaterial,
  type ListenerTlsFiles,
  type RawListenerMaterial,
} from "./listener-material.ts";

export interface ListenerTlsOptions extends ListenerTlsFiles {
  /** What the flags are called, for messages: "--admin" for --admin-cert, --admin-key and --admin-client-ca. */
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
  #current: ListenerContext;
  readonly #files: FollowedFiles<RawListenerMaterial, ListenerMaterial>;
  #listener:
    ((next: ListenerContext, othersTrusted: boolean) => void) | undefined;

  private constructor(
    options: ListenerTlsOptions,
    files: FollowedFiles<RawListenerMaterial, ListenerMaterial>,
  ) {
    const { flags, logger } = options;
    this.#options = options;
    this.#files = files;
    this.#current = contextOf(files.current);
    files.follow({
      onChange: (next, before) => {
        this.#current = contextOf(next);
        logger.info("listener_tls.reloaded", { of: flags });
        this.#listener?.(this.#current, next.clientCa !== before.clientCa);
      },
      onUnusable: (reason) => {
        logger.error("listener_tls.reload_failed", {
          reason,
          consequence: "the files of before stay in use",
        });
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
}

function contextOf({ context }: ListenerMaterial): ListenerContext {
  return { context, ticketKeys: randomBytes(48) };
}
