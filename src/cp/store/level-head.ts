import { cursorOf } from "../../model/cursor.ts";
import type { EntryTimes, StoredHead } from "./store.ts";

/** A head as it is stored: JSON, so that a person can read it too. */
export function encodeHead({ cursor, predecessors }: StoredHead): Buffer {
  return Buffer.from(
    JSON.stringify({
      epoch: cursor.epoch,
      revision: cursor.revision.toString(),
      root: cursor.root,
      // A store that was never adopted is, to the byte, what builds that know nothing of that write.
      ...(predecessors.length === 0 ? {} : { predecessors }),
    }),
  );
}

/** Reads a stored head; undefined when it is none. */
export function decodeHead(bytes: Buffer): StoredHead | undefined {
  let head: unknown;
  try {
    head = JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof head !== "object" || head === null) return undefined;
  const {
    epoch,
    revision,
    root,
    predecessors = [],
  } = head as Record<string, unknown>;
  return typeof epoch === "string" &&
    typeof root === "string" &&
    typeof revision === "string" &&
    /^\d{1,20}$/.test(revision) &&
    isTexts(predecessors)
    ? { cursor: cursorOf(epoch, BigInt(revision), root), predecessors }
    : undefined;
}

function isTexts(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.every((item) => typeof item === "string")
  );
}

const TIMES_BYTES = 16;

/** The times of an entry as they are stored: two f64. */
export function encodeTimes(times: EntryTimes): Buffer {
  const bytes = Buffer.allocUnsafe(TIMES_BYTES);
  bytes.writeDoubleBE(times.createdMs, 0);
  bytes.writeDoubleBE(times.updatedMs, 8);
  return bytes;
}

/** Reads stored times; undefined when they are missing or not such. */
export function decodeTimes(bytes: Buffer | undefined): EntryTimes | undefined {
  return bytes?.length === TIMES_BYTES
    ? { createdMs: bytes.readDoubleBE(0), updatedMs: bytes.readDoubleBE(8) }
    : undefined;
}
