import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { NackClass, type Refusal } from "../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../model/cursor.ts";
import { readVerifyKey } from "../model/snapshot-signature.ts";
import { backoffMs } from "../runtime/backoff.ts";
import type { AppliedState } from "./applied-state.ts";
import {
  fallbackAddress,
  readFallback,
  type FallbackSourceOptions,
  type FallbackState,
} from "./fallback-source.ts";
import type { Freshness } from "./freshness.ts";
import type { State } from "./replica/last-good.ts";
import type { Logger } from "../runtime/logger.ts";

export interface FallbackOptions extends FallbackSourceOptions {
  readonly applied: AppliedState;
  readonly replica: { persist(state: State): Promise<void> };
  readonly client: {
    readonly refusals: readonly Refusal[];
    /** Whether a control plane is there. */
    readonly isConnected: boolean;
    /** Goes on from this state. False when a control plane is there: its state wins. */
    begin(state: State): boolean;
  };
  readonly freshness: Pick<Freshness, "assume">;
  readonly logger: Logger;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** A control plane that can be reached has this long to be there first. */
const GRACE_MS = 500;
const RETRY = { initialMs: 2_000, maxMs: 60_000 };

/** A fallback cannot be used as it is asked for. The message says why. */
class FallbackError extends Error {
  override readonly name = "FallbackError";
}

/**
 * Reads the key that vouches for fallbacks.
 *
 * @throws FallbackError when it cannot be read or is none.
 */
export async function readFallbackKey(file: string): Promise<KeyObject> {
  const pem = await readFile(file, "utf8").catch((error: unknown) => {
    throw new FallbackError(
      `cannot read --fallback-key ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  });
  const key = readVerifyKey(pem);
  if (typeof key === "string")
    throw new FallbackError(`--fallback-key ${file} ${key}`);
  return key;
}

/** Starts a data plane that has nothing from an exported snapshot. Tries until it serves something, from wherever. */
export async function runFallback(
  options: FallbackOptions,
  signal: AbortSignal,
): Promise<void> {
  const { applied, clock, logger, random } = options;
  const { shown: source } = fallbackAddress(options.source);
  await pause(options, GRACE_MS, signal);
  for (let failures = 0; !signal.aborted && applied.current === undefined;) {
    // It is asked first, and again when it is gone.
    if (options.client.isConnected) {
      await pause(options, RETRY.initialMs, signal);
      continue;
    }
    const startedMs = clock.monotonic();
    try {
      const state = await readFallback(options, signal);
      if (await serve({ ...options, source }, state)) return;
      failures = 0;
    } catch (error) {
      if (isAborted(signal)) return;
      failures++;
      const line = {
        source,
        err: error,
        failures,
        took_ms: Math.round(clock.monotonic() - startedMs),
      };
      if (failures === 1 || failures % 20 === 0)
        logger.error("fallback.not_usable", line);
      else logger.info("fallback.retrying", line);
    }
    const waitMs = RETRY.initialMs + backoffMs(failures, RETRY, random);
    await pause(options, waitMs, signal);
  }
}

/** Takes a state up as any other. False when a control plane came first. */
async function serve(
  { applied, replica, client, freshness, source, logger }: FallbackOptions,
  state: FallbackState,
): Promise<boolean> {
  const { cursor } = state;
  const refusal = client.refusals.find(
    (each) =>
      each.class === NackClass.CRASHED && each.cursor?.root === cursor.root,
  );
  if (refusal !== undefined)
    throw new FallbackError(
      `${source} is ${describeCursor(cursor)}, which is quarantined: processes crashed with it`,
    );
  const result = await applied.prepare(state);
  if (!result.ok)
    throw new FallbackError(
      `${source} is ${describeCursor(cursor)}, which this build cannot serve (${result.class}): ${result.violations
        .slice(0, 3)
        .map(({ key, field, reason }) => `${key} ${field}: ${reason}`)
        .join("; ")}`,
    );
  let served = false;
  try {
    if (applied.current !== undefined || client.isConnected) return false;
    await replica.persist(state);
    if (!client.begin(state)) return false;
    served = true;
    await applied.commit(result.prepared, "fallback");
  } finally {
    if (!served) await applied.drop(cursor);
  }
  freshness.assume(state.timeMs);
  logger.warn("fallback.serving", {
    source,
    serving: describeCursor(cursor),
    entries: state.snapshot.entryCount,
    written_at: new Date(state.timeMs).toISOString(),
  });
  return true;
}

async function pause(
  { clock }: FallbackOptions,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  await clock.sleep(ms, signal).catch(() => undefined);
}

/** For the compiler, which takes a signal that was not aborted to stay so. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
