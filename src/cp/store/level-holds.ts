import { cursorOf } from "../../model/cursor.ts";
import { ConfigError } from "../../model/violation.ts";
import { oldestRecord } from "./history-tails.ts";
import { getValue, type LevelDatabase } from "./level-database.ts";
import type { LevelKeys } from "./level-keys.ts";
import { DamagedError } from "./level-load.ts";
import type { HoldRecord } from "./store.ts";

/** Reads the pins of a workspace, by ascending node, and its pause. */
export async function readHolds(
  database: LevelDatabase,
  keys: LevelKeys,
): Promise<readonly HoldRecord[]> {
  const { gt, lt } = keys.range("pin");
  const rows = await database.iterator({ gt, lt }).all();
  const holds = rows.map(([key, value]) =>
    decodeHold(key, value, key.slice(gt.length)),
  );
  const pause = await getValue(database, keys.hold(undefined));
  if (pause !== undefined) holds.push(decodeHold(keys.hold(undefined), pause));
  return holds;
}

/**
 * Refuses to keep nodes at a state that could not be rebuilt from the head: its own record is needed, and all after it.
 * The oldest go first, so that its own says enough; of the empty state, the first one's does.
 *
 * @throws ConfigError `out_of_range`
 */
export async function refuseForgotten(
  database: LevelDatabase,
  keys: LevelKeys,
  holds: readonly HoldRecord[],
  head: bigint,
): Promise<void> {
  for (const revision of new Set(holds.map(({ cursor }) => cursor.revision))) {
    if (revision === head) continue;
    const own = revision === 0n ? 1n : revision;
    if ((await oldestRecord(database, keys, own)) === own) continue;
    const oldest = (await oldestRecord(database, keys, 0n)) ?? head;
    throw ConfigError.of("out_of_range", [
      {
        kind: "",
        name: "",
        field: "revision",
        reason: `revision ${revision} is not kept any more: the oldest that is kept is revision ${oldest}, and the head is revision ${head}`,
      },
    ]);
  }
}

/** Puts some and removes some, in one synced batch. */
export async function writeHolds(
  database: LevelDatabase,
  keys: LevelKeys,
  put: readonly HoldRecord[],
  remove: readonly (string | undefined)[],
): Promise<void> {
  await database.batch(
    [
      ...remove.map((node) => ({ type: "del" as const, key: keys.hold(node) })),
      ...put.map((hold) => ({
        type: "put" as const,
        key: keys.hold(hold.node),
        value: encodeHold(hold),
      })),
    ],
    { sync: true },
  );
}

/** JSON, so that a person can read it too. */
function encodeHold({ cursor, timeMs }: HoldRecord): Buffer {
  const { epoch, revision, root } = cursor;
  return Buffer.from(
    JSON.stringify({ epoch, revision: revision.toString(), root, timeMs }),
  );
}

/** @throws DamagedError: a pin that cannot be read must not be taken for none. */
function decodeHold(key: string, bytes: Uint8Array, node?: string): HoldRecord {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    value = undefined;
  }
  const { epoch, revision, root, timeMs } = (value ?? {}) as Record<
    string,
    unknown
  >;
  if (
    typeof epoch !== "string" ||
    typeof root !== "string" ||
    typeof timeMs !== "number" ||
    typeof revision !== "string" ||
    !/^\d{1,20}$/.test(revision)
  )
    throw new DamagedError(`${key} is not a pin or a pause`);
  return {
    ...(node === undefined ? {} : { node }),
    cursor: cursorOf(epoch, BigInt(revision), root),
    timeMs,
  };
}
