import { cursorOf } from "../../model/cursor.ts";
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
