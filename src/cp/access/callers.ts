import { createHash, timingSafeEqual } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { ConfigError } from "../../model/violation.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { readTokenFile, type KnownCaller } from "./token-file.ts";

export interface CallersOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the file is looked at. Default 2 s. */
  readonly pollMs?: number;
}

const POLL_MS = 2_000;
const MAX_FILE_BYTES = 1 << 20;

/**
 * Those whom the token file lets call. The file is followed: a token that is taken out of it is worth nothing a moment
 * later. A file that cannot be used changes nothing, and is complained about.
 */
export class Callers implements AsyncDisposable {
  readonly #options: CallersOptions;
  readonly #listeners = new Set<() => void>();
  #callers: readonly KnownCaller[];
  #digest: string;
  /** The last state of the file that was not usable, so that it is said once. */
  #unusable: string | undefined;
  #polling: Timer | undefined;
  #reloading: Promise<void> | undefined;
  #closed = false;

  private constructor(options: CallersOptions, read: Read) {
    this.#options = options;
    this.#callers = read.callers;
    this.#digest = read.digest;
  }

  /** @throws ConfigError that names the file and all that is wrong with it. */
  static async open(options: CallersOptions): Promise<Callers> {
    const callers = new Callers(options, await read(options.file));
    callers.#poll();
    return callers;
  }

  /** The caller with the token of this SHA-256. All are compared, each in constant time. */
  byDigest(digest: Buffer): KnownCaller | undefined {
    let found: KnownCaller | undefined;
    for (const caller of this.#callers)
      if (caller.digest !== undefined && timingSafeEqual(caller.digest, digest))
        found = caller;
    return found;
  }

  /** The caller with the client certificate of this common name. */
  byCertificate(name: string): KnownCaller | undefined {
    return this.#callers.find(({ certificate }) => certificate === name);
  }

  /** Calls back at every look at the file, as time may have ended something too. */
  onLook(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks at the file now. Concurrent callers wait for the same look. */
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
    const { file, logger } = this.#options;
    try {
      const next = await read(file, this.#digest);
      this.#unusable = undefined;
      if (next.digest !== this.#digest) {
        this.#callers = next.callers;
        this.#digest = next.digest;
        logger.info("admin.tokens_reloaded", { tokens: next.callers.length });
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#unusable)
        logger.error("admin.tokens_reload_failed", {
          reason,
          consequence:
            "the tokens of before stay valid, those too that were to be revoked",
        });
      this.#unusable = reason;
    }
    for (const listener of this.#listeners) listener();
  }
}

interface Read {
  readonly callers: readonly KnownCaller[];
  readonly digest: string;
}

/** Reads the file; its content only when it is not the one of `known`. */
async function read(file: string, known?: string): Promise<Read> {
  const refuse = (reason: string, cause?: unknown): ConfigError =>
    new ConfigError(
      "failed_precondition",
      `--admin-token-file ${file}: ${reason}`,
      { cause },
    );
  let content: string;
  try {
    content = await contentOf(file, refuse);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw refuse(
      `cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
  const digest = createHash("sha256").update(content).digest("hex");
  if (digest === known) return { callers: [], digest };
  const parsed = readTokenFile(content);
  if (!parsed.ok) throw refuse(parsed.problems.join("; "));
  return { callers: parsed.callers, digest };
}

async function contentOf(
  file: string,
  refuse: (reason: string) => ConfigError,
): Promise<string> {
  // Not a pipe that would never end to open.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw refuse("is no file");
    if ((status.mode & constants.S_IWOTH) !== 0)
      throw refuse(
        "can be written by everybody on this machine, who could so let themselves in: chmod go-w",
      );
    if (status.size > MAX_FILE_BYTES)
      throw refuse(`has more than ${MAX_FILE_BYTES} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}
