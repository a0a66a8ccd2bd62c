import type { Slices } from "../../model/slices.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { RevisionRecord, Store } from "../store/store.ts";
import type { Catalog } from "./catalog.ts";
import type { Operation } from "./operation.ts";
import { decodeResource, partsOf } from "./resource.ts";
import type { View } from "./view.ts";

/** Credentials deleted in one revision, at most. */
const DELETED_AT_ONCE = 1000;

/** Time between two rounds, at least: those that are due in between go together. */
const MIN_ROUND_MS = 1000;

/** Time between two rounds, at most: a clock that was set forward is noticed, and no timer overflows. */
const MAX_ROUND_MS = 60 * 60 * 1000;

/** Time after a round that failed. */
const RETRY_MS = 10_000;

const PREFIX = "keyauth_credential/";

export interface ExpiryOptions {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Deletes key-auth credentials whose time is over: `ttl` seconds after they were last changed. */
export class Expiry implements AsyncDisposable {
  readonly #options: ExpiryOptions;
  /** When each credential that has a ttl is due: milliseconds since the Unix epoch. */
  readonly #due = new Map<string, number>();
  readonly #unsubscribe: () => void;
  #timer: Timer | undefined;
  #round: Promise<void> | undefined;
  #failing = false;
  #closed = false;

  private constructor(options: ExpiryOptions) {
    this.#options = options;
    this.#unsubscribe = options.catalog.onCommit((_head, records) => {
      this.#note(records);
    });
  }

  /** Finds all credentials with a ttl and begins to watch over them. Those that are due already go at once. */
  static async start(options: ExpiryOptions): Promise<Expiry> {
    const expiry = new Expiry(options);
    try {
      await expiry.#scan();
    } catch (error) {
      await expiry.close();
      throw error;
    }
    expiry.#arm();
    return expiry;
  }

  /** Stops. A round that is under way is finished. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#timer?.cancel();
    await this.#round;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #scan(): Promise<void> {
    const { catalog, store } = this.#options;
    // What is committed meanwhile comes through the listener and is newer than what is read here.
    const { head } = catalog;
    const found = await driveSlices(credentials(head.snapshot));
    const seen = new Set(this.#due.keys());
    for (let at = 0; at < found.length; at += DELETED_AT_ONCE) {
      const some = found.slice(at, at + DELETED_AT_ONCE);
      const times = await store.times(
        catalog.workspace,
        some.map(({ key }) => key),
      );
      for (const [i, { key, ttl }] of some.entries()) {
        const updated = times[i]?.updatedMs;
        const changed = catalog.head.snapshot.get(key) === undefined;
        if (updated !== undefined && !changed && !seen.has(key))
          this.#due.set(key, updated + ttl * 1000);
      }
    }
  }

  #note(records: readonly RevisionRecord[]): void {
    for (const { changes, timeMs } of records)
      for (const { key, after } of changes) {
        if (!key.startsWith(PREFIX)) continue;
        const ttl = after === undefined ? undefined : ttlOf(after);
        if (ttl === undefined) this.#due.delete(key);
        else this.#due.set(key, timeMs + ttl * 1000);
      }
    this.#arm();
  }

  #arm(delayMs?: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed || this.#round !== undefined || this.#due.size === 0)
      return;
    let next = Infinity;
    for (const due of this.#due.values()) next = Math.min(next, due);
    const { clock } = this.#options;
    const wait = delayMs ?? next - clock.now();
    this.#timer = clock.setTimer(
      Math.min(Math.max(wait, MIN_ROUND_MS), MAX_ROUND_MS),
      () => {
        this.#round ??= this.#expire().finally(() => {
          this.#round = undefined;
          this.#arm(this.#failing ? RETRY_MS : undefined);
        });
      },
    );
  }

  async #expire(): Promise<void> {
    const { catalog, logger } = this.#options;
    try {
      if (this.#dueNow().length === 0) return;
      const result = await catalog.transact((view) => this.#deletions(view), {
        author: "holdfast",
        message: "Delete key-auth credentials whose ttl is over",
        allowMassDelete: true,
      });
      this.#failing = false;
      if (result.changes.length > 0)
        logger.info("catalog.credentials_expired", {
          workspace: catalog.workspace,
          revision: result.revision.toString(),
          ids: result.changes.map(({ id }) => id),
        });
    } catch (error) {
      if (!this.#failing && !this.#closed)
        logger.error("catalog.expiry_failed", {
          workspace: catalog.workspace,
          retryMs: RETRY_MS,
          err: error,
        });
      this.#failing = true;
    }
  }

  #dueNow(): string[] {
    const now = this.#options.clock.now();
    const due: string[] = [];
    for (const [key, at] of this.#due)
      if (at <= now && due.length < DELETED_AT_ONCE) due.push(key);
    return due;
  }

  /** Decided when the transaction's turn comes: one that was put again just before has a new term. */
  #deletions(view: View): Operation[] {
    const { snapshot } = this.#options.catalog.head;
    return this.#dueNow().flatMap((key) => {
      const now = view.get(key);
      const durable = snapshot.get(key);
      return now !== undefined &&
        durable !== undefined &&
        Buffer.compare(now, durable) === 0
        ? [{ type: "delete", ...partsOf(key) }]
        : [];
    });
  }
}

function* credentials(snapshot: {
  entries(): Iterable<{ readonly key: string; readonly value: Uint8Array }>;
}): Slices<{ readonly key: string; readonly ttl: number }[]> {
  const found: { readonly key: string; readonly ttl: number }[] = [];
  for (const { key, value } of snapshot.entries()) {
    yield 1;
    if (!key.startsWith(PREFIX)) continue;
    const ttl = ttlOf(value);
    if (ttl !== undefined) found.push({ key, ttl });
  }
  return found;
}

function ttlOf(value: Uint8Array): number | undefined {
  const { kind } = decodeResource(value);
  return kind.case === "keyauthCredential" ? kind.value.ttl : undefined;
}
