import type { KeyObject } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { Counter, Gauge, type Registry } from "prom-client";
import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import { cursorsEqual } from "../model/cursor.ts";
import { writeSnapshotFile } from "../model/snapshot-file.ts";
import { readSigningKey } from "../model/snapshot-signature.ts";
import { ConfigError } from "../model/violation.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { writeFileDurably } from "../runtime/durable-file.ts";
import type { Logger } from "../runtime/logger.ts";
import { driveSlices } from "../runtime/slices.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { Head } from "./catalog/state.ts";

export interface PublishOptions {
  /** Where the file is kept; made if need be. */
  readonly directory: string;
  /** The private key, Ed25519 in PEM form, that the file is signed with. */
  readonly keyFile: string;
}

/** What the publishers of a process have together. */
export interface Publishing {
  readonly directory: string;
  readonly key: KeyObject;
  readonly failures: Counter<"workspace">;
  readonly revision: Gauge<"workspace">;
}

/**
 * Makes ready to publish.
 *
 * @throws ConfigError when the key cannot be read or is none.
 */
export async function openPublishing(
  { directory, keyFile }: PublishOptions,
  metrics: Registry,
): Promise<Publishing> {
  const pem = await readFile(keyFile, "utf8").catch((error: unknown) => {
    throw new ConfigError(
      "failed_precondition",
      `cannot read --snapshot-key ${keyFile}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  });
  const key = readSigningKey(pem);
  if (typeof key === "string")
    throw new ConfigError(
      "failed_precondition",
      `--snapshot-key ${keyFile} ${key}`,
    );
  return {
    directory,
    key,
    failures: new Counter({
      name: "holdfast_cp_snapshot_publish_failures_total",
      help: "How often the snapshot file could not be written.",
      labelNames: ["workspace"],
      registers: [metrics],
    }),
    revision: new Gauge({
      name: "holdfast_cp_snapshot_published_revision",
      help: "The revision in the snapshot file; -1 before the first.",
      labelNames: ["workspace"],
      registers: [metrics],
    }),
  };
}

/** A state, as a file holds it. */
type Published = Pick<Head, "cursor" | "snapshot">;

export interface SnapshotPublisherOptions {
  readonly publishing: Publishing;
  readonly catalog: Pick<Catalog, "workspace"> & {
    readonly head: Published;
    onCommit(listener: () => void): () => void;
  };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The file is written at most this often. */
const PACE_MS = 3_000;
/** And this often when nothing changes: its time says when the state was the newest, as data planes want to know. */
const REFRESH_MS = 10 * 60_000;
const RETRY_MIN_MS = 5_000;
const RETRY_MAX_MS = 5 * 60_000;

/**
 * Keeps the newest state of a workspace in a signed snapshot file, `<workspace>.hfs`, replaced whole, for data planes
 * that start when no control plane is there. That it cannot be written is told, tried again, and hurts nothing else.
 */
export class SnapshotPublisher implements AsyncDisposable {
  readonly #options: SnapshotPublisherOptions;
  readonly #file: string;
  readonly #unfollow: () => void;
  #published: Cursor | undefined;
  #publishedMs = -Infinity;
  #failures = 0;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closing = false;

  /** Publishes what is the newest now, soon, and every change after that. */
  constructor(options: SnapshotPublisherOptions) {
    this.#options = options;
    const { catalog, publishing } = options;
    const { workspace } = catalog;
    this.#file = path.join(publishing.directory, `${workspace}.hfs`);
    publishing.failures.inc({ workspace }, 0);
    publishing.revision.set({ workspace }, -1);
    this.#unfollow = catalog.onCommit(() => {
      if (this.#failures === 0) this.#schedule(0);
    });
    this.#schedule(0);
  }

  /** The workspace was deleted: ends, writes nothing more, and leaves the file to those who start from it. */
  async forget(): Promise<void> {
    this.#end();
    await this.#writing;
    const { catalog, publishing } = this.#options;
    const { workspace } = catalog;
    publishing.failures.remove({ workspace });
    publishing.revision.remove({ workspace });
  }

  /** Writes what is not written yet, once, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (
      this.#end() &&
      !cursorsEqual(this.#published, this.#options.catalog.head.cursor)
    )
      this.#write();
    await this.#writing;
  }

  /** False when it has ended already. */
  #end(): boolean {
    if (this.#closing) return false;
    this.#closing = true;
    this.#unfollow();
    this.#timer?.cancel();
    return true;
  }

  #schedule(afterMs: number): void {
    if (this.#closing || (this.#timer !== undefined && afterMs > 0)) return;
    const { clock } = this.#options;
    const waitMs = Math.max(
      afterMs,
      this.#publishedMs + PACE_MS - clock.monotonic(),
    );
    this.#timer?.cancel();
    this.#timer = clock.setTimer(waitMs, () => {
      this.#timer = undefined;
      this.#write();
    });
  }

  #write(): void {
    const { catalog, clock, logger, publishing } = this.#options;
    this.#writing = this.#writing
      .then(async () => {
        const { head } = catalog;
        this.#publishedMs = clock.monotonic();
        await this.#replace(head);
        const isFirst = this.#published === undefined;
        this.#published = head.cursor;
        if (isFirst || this.#failures > 0)
          logger.info("snapshot.published", {
            file: this.#file,
            revision: head.cursor.revision,
            failures: this.#failures,
          });
        this.#failures = 0;
        this.#schedule(
          cursorsEqual(head.cursor, catalog.head.cursor) ? REFRESH_MS : 0,
        );
      })
      .catch((error: unknown) => {
        publishing.failures.inc({ workspace: catalog.workspace });
        const retryMs = Math.min(
          RETRY_MIN_MS * 2 ** this.#failures++,
          RETRY_MAX_MS,
        );
        const line = {
          file: this.#file,
          err: error,
          failures: this.#failures,
          retry_ms: retryMs,
          consequence:
            "data planes that start from this file get an older state; nothing else",
        };
        if (this.#failures === 1) logger.error("snapshot.not_published", line);
        else logger.warn("snapshot.not_published", line);
        this.#schedule(retryMs);
      });
  }

  async #replace({ cursor, snapshot }: Published): Promise<void> {
    const { clock, publishing, catalog } = this.#options;
    const { directory, key, revision } = publishing;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // Known already but for the first time: what is hashed is kept with the buckets.
    await driveSlices(snapshot.hashSlices());
    await writeFileDurably(
      this.#file,
      writeSnapshotFile(cursor, snapshot, clock.now(), {
        signingKey: key,
      }),
    );
    revision.set({ workspace: catalog.workspace }, Number(cursor.revision));
  }
}
