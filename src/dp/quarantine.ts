import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import { describeCursor } from "../model/cursor.ts";
import type { Logger } from "../runtime/logger.ts";
import type { AppliedState } from "./applied-state.ts";
import type { Prepared } from "./gateway/gateway.ts";
import type { ReplicaStore } from "./replica/replica-store.ts";
import { CRASHES } from "./replica/trials.ts";
import type { SyncClient } from "./sync/sync-client.ts";
import type { WorkerGroup } from "./workers/worker-group.ts";

export interface QuarantineOptions {
  readonly client: Pick<SyncClient<Prepared>, "run" | "restart">;
  readonly applied: AppliedState;
  readonly replica: Pick<ReplicaStore, "quarantine" | "refusals">;
  /** Absent: what crashes takes this process along, and the next one finds out. */
  readonly group: Pick<WorkerGroup, "onGuilty" | "clear"> | undefined;
  readonly logger: Logger;
}

/**
 * Keeps in step with the control planes until the signal is aborted. When workers crash again and again with a state that
 * is new, the stream is ended, the state before takes its place in the workers and on the disk, and the next stream begins
 * with saying so: as a process does that starts after three crashes.
 */
export async function runGuarded(
  options: QuarantineOptions,
  signal: AbortSignal,
): Promise<void> {
  const { client, group } = options;
  let guilty: Cursor | undefined;
  let round = new AbortController();
  group?.onGuilty((cursor) => {
    guilty = cursor;
    round.abort();
  });
  while (!signal.aborted) {
    await client.run(AbortSignal.any([signal, round.signal]));
    const cursor = taken(guilty);
    guilty = undefined;
    round = new AbortController();
    if (cursor !== undefined && !isAborted(signal))
      await quarantine(options, cursor);
  }
}

async function quarantine(
  { client, applied, replica, group, logger }: QuarantineOptions,
  cursor: Cursor,
): Promise<void> {
  // Another state was on its way already, and may do better.
  if (applied.current?.cursor.root !== cursor.root) return;
  const before = await replica.quarantine(cursor);
  logger.error("replica.quarantined", {
    quarantined: describeCursor(cursor),
    serving: describeCursor(before?.cursor),
    crashes: CRASHES,
    consequence: `${CRASHES} workers ended without being asked to before one had served it for 10 s; this build does not take it up again until another state is published or it is asked to: holdfast nodes retry NODE`,
  });
  const serves = before !== undefined && (await applied.restore(before));
  if (!serves) {
    applied.withdraw();
    group?.clear();
  }
  client.restart(serves ? before : undefined, replica.refusals);
}

/** For the compiler, which takes a variable that nothing here sets to stay what it was. */
function taken(cursor: Cursor | undefined): Cursor | undefined {
  return cursor;
}

/** For the compiler, which takes a signal that was not aborted to stay so. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
