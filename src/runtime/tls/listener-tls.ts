import { createHash, randomBytes, type X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { parseCertificates, parsePrivateKey } from "../../model/pem.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Logger } from "../logger.ts";

/** The files that a listener of our own is secured with. */
export interface ListenerTlsFiles {
  /** The certificate, followed by those between it and its authority. */
  readonly certFile: string;
  readonly keyFile: string;
  /** The authorities that client certificates must be by. Absent: none is asked for. */
  readonly clientCaFile?: string | undefined;
}

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
  #material: Material;
  #current: ListenerContext;
  #unusable: string | undefined;
  #listener:
    ((next: ListenerContext, othersTrusted: boolean) => void) | undefined;
  #polling: Timer | undefined;
  #reloading: Promise<void> | undefined;
  #closed = false;

  private constructor(options: ListenerTlsOptions, material: Material) {
    this.#options = options;
    this.#material = material;
    this.#current = contextOf(material);
  }

  /** @throws ConfigError that names the flag and the file. */
  static async open(options: ListenerTlsOptions): Promise<ListenerTls> {
    const tls = new ListenerTls(options, await readMaterial(options));
    tls.#poll();
    return tls;
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
    this.#reloading ??= this.#reload().finally(() => {
      this.#reloading = undefined;
    });
    return this.#reloading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#polling?.cancel();
    await this.#reloading;
  }

  #poll(): void {
    if (this.#closed) return;
    const { clock, pollMs = POLL_MS } = this.#options;
    this.#polling = clock.setTimer(pollMs, () => {
      void this.reload().finally(() => {
        this.#poll();
      });
    });
  }

  async #reload(): Promise<void> {
    const { logger } = this.#options;
    try {
      const next = await readMaterial(this.#options);
      this.#unusable = undefined;
      const before = this.#material;
      if (next.digest === before.digest) return;
      this.#material = next;
      this.#current = contextOf(next);
      logger.info("listener_tls.reloaded", { of: this.#options.flags });
      this.#listener?.(this.#current, next.clientCa !== before.clientCa);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // Half written, perhaps: the next look may find it whole.
      if (reason !== this.#unusable)
        logger.error("listener_tls.reload_failed", {
          reason,
          consequence: "the files of before stay in use",
        });
      this.#unusable = reason;
    }
  }
}

interface Material {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** Changes when any of the files does. */
  readonly digest: string;
}

function contextOf({ cert, key, clientCa }: Material): ListenerContext {
  return {
    context: {
      cert,
      key,
      ...(clientCa === undefined ? {} : { ca: clientCa }),
      minVersion: "TLSv1.2",
    },
    ticketKeys: randomBytes(48),
  };
}

async function readMaterial(options: ListenerTlsOptions): Promise<Material> {
  const { certFile, keyFile, clientCaFile, flags } = options;
  const problem = (flag: string, file: string, why: string, cause?: unknown) =>
    new ConfigError("failed_precondition", `${flags}-${flag} ${file}: ${why}`, {
      cause,
    });
  const read = async (flag: string, file: string): Promise<string> => {
    try {
      return await readFile(file, "utf8");
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw problem(flag, file, `cannot be read: ${why}`, cause);
    }
  };
  const cert = await read("cert", certFile);
  const key = await read("key", keyFile);
  const clientCa =
    clientCaFile === undefined
      ? undefined
      : await read("client-ca", clientCaFile);

  const certificates = parseCertificates(cert);
  if (!certificates.ok) throw problem("cert", certFile, certificates.reason);
  const parsedKey = parsePrivateKey(key);
  if (!parsedKey.ok) throw problem("key", keyFile, parsedKey.reason);
  const [own] = certificates.value as [X509Certificate, ...X509Certificate[]];
  if (!own.checkPrivateKey(parsedKey.value))
    throw problem(
      "key",
      keyFile,
      `is not the key of the certificate in ${certFile}`,
    );
  if (clientCa !== undefined) {
    const authorities = parseCertificates(clientCa);
    if (!authorities.ok)
      throw problem("client-ca", clientCaFile ?? "", authorities.reason);
    // One that is no authority would let in its own holder, and nobody who was meant.
    if (authorities.value.some((certificate) => !certificate.ca))
      throw problem(
        "client-ca",
        clientCaFile ?? "",
        "holds a certificate that is no authority's",
      );
  }
  const material = {
    cert,
    key,
    clientCa,
    digest: createHash("sha256")
      .update(JSON.stringify([cert, key, clientCa ?? null]))
      .digest("hex"),
  };
  try {
    createSecureContext(contextOf(material).context);
  } catch (cause) {
    // OpenSSL's own rules, such as too short a key.
    const why = cause instanceof Error ? cause.message : String(cause);
    throw problem("cert", certFile, `cannot be used: ${why}`, cause);
  }
  return material;
}
