import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import { describeCursor } from "../model/cursor.ts";
import type { Logger } from "../runtime/logger.ts";
import type { AppliedState } from "./applied-state.ts";
import type { Prepared } from "./gateway/states.ts";
import type { ReplicaStore } from "./replica/replica-store.ts";
import { CRASHES } from "./replica/trials.ts";
import type { SyncClient } from "./sync/sync-client.ts";
import type { WorkerGroup } from "./workers/worker-group.ts";

export interface QuarantineOptions {
  readonly client: Pick<SyncClient<Prepared>, "aside" | "restart">;
  readonly applied: AppliedState;
  readonly replica: Pick<ReplicaStore, "quarantine" | "refusals">;
  readonly group: Pick<WorkerGroup, "clear">;
  readonly logger: Logger;
}

/**
 * Goes back from a state that workers crash with: the one before takes its place in the workers and on the disk, and the
 * next stream begins with saying so, as that of a process does which starts after three crashes.
 */
export async function quarantine(
  options: QuarantineOptions,
  cursor: Cursor,
): Promise<void> {
  const { client, applied, replica, group, logger } = options;
  await client.aside(async () => {
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
      group.clear();
    }
    client.restart(serves ? before : undefined, replica.refusals);
  });
}
