import { createHash, timingSafeEqual } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../../runtime/clock.ts";
import { FollowedFiles } from "../../runtime/followed-files.ts";
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
  readonly #file: FollowedFiles<TokenFile, readonly KnownCaller[]>;
  readonly #listeners = new Set<() => void>();

  private constructor(
    file: FollowedFiles<TokenFile, readonly KnownCaller[]>,
    logger: Logger,
  ) {
    this.#file = file;
    file.follow({
      onChange: (callers) => {
        logger.info("admin.tokens_reloaded", { tokens: callers.length });
      },
      onUnusable: (reason) => {
        logger.error("admin.tokens_reload_failed", {
          reason,
          consequence:
            "the tokens of before stay valid, those too that were to be revoked",
        });
      },
      onLook: () => {
        for (const listener of this.#listeners) listener();
      },
    });
  }

  /** @throws ConfigError that names the file and all that is wrong with it. */
  static async open(options: CallersOptions): Promise<Callers> {
    const { file, clock, logger, pollMs = POLL_MS } = options;
    const followed = await FollowedFiles.open({
      read: () => readContent(file),
      check: (found) => callersIn(file, found),
      clock,
      pollMs,
    });
    return new Callers(followed, logger);
  }

  /** The caller with the token of this SHA-256. All are compared, each in constant time. */
  byDigest(digest: Buffer): KnownCaller | undefined {
    let found: KnownCaller | undefined;
    for (const caller of this.#file.current)
      if (caller.digest !== undefined && timingSafeEqual(caller.digest, digest))
        found = caller;
    return found;
  }

  /** The caller with the client certificate of this common name. */
  byCertificate(name: string): KnownCaller | undefined {
    return this.#file.current.find(({ certificate }) => certificate === name);
  }

  /** Calls back at every look at the file, as time may have ended something too. */
  onLook(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks at the file now. Concurrent callers wait for the same look. */
  reload(): Promise<void> {
    return this.#file.reload();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

interface TokenFile {
  readonly content: string;
  readonly digest: string;
}

async function readContent(file: string): Promise<TokenFile> {
  try {
    const content = await contentOf(file);
    const digest = createHash("sha256").update(content).digest("hex");
    return { content, digest };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unusable(
      file,
      `cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

function callersIn(
  file: string,
  { content }: TokenFile,
): readonly KnownCaller[] {
  const parsed = readTokenFile(content);
  if (!parsed.ok) throw unusable(file, parsed.problems.join("; "));
  return parsed.callers;
}

async function contentOf(file: string): Promise<string> {
  // Not a pipe that would never end to open.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw unusable(file, "is no file");
    if ((status.mode & constants.S_IWOTH) !== 0)
      throw unusable(
        file,
        "can be written by everybody on this machine, who could so let themselves in: chmod go-w",
      );
    if (status.size > MAX_FILE_BYTES)
      throw unusable(file, `has more than ${MAX_FILE_BYTES} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

function unusable(file: string, reason: string, cause?: unknown): ConfigError {
  return new ConfigError(
    "failed_precondition",
    `--admin-token-file ${file}: ${reason}`,
    { cause },
  );
}
