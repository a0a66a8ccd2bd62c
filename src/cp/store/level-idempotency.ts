import { getValues, type LevelDatabase } from "./level-database.ts";
import type { LevelKeys } from "./level-keys.ts";
import { IDEMPOTENCY_MS, type IdempotentAnswer } from "./store.ts";

/** Answers removed with one commit, at most: what is left over goes with the next. */
const PRUNED_AT_ONCE = 200;

/** An answer as it is stored: u32 length, digest and time in JSON, the answer. */
export function encodeAnswer(answer: IdempotentAnswer): Buffer {
  const about = Buffer.from(
    JSON.stringify({ digest: answer.digest, timeMs: answer.timeMs }),
  );
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(about.length);
  return Buffer.concat([length, about, answer.answer]);
}

/** Reads a stored answer; undefined when it is missing or none. */
export function decodeAnswer(
  key: string,
  bytes: Buffer | undefined,
): IdempotentAnswer | undefined {
  if (bytes === undefined || bytes.length < 4) return undefined;
  const end = 4 + bytes.readUInt32BE(0);
  let about: unknown;
  try {
    about = JSON.parse(bytes.toString("utf8", 4, end));
  } catch {
    return undefined;
  }
  if (typeof about !== "object" || about === null) return undefined;
  const { digest, timeMs } = about as Record<string, unknown>;
  return typeof digest === "string" && typeof timeMs === "number"
    ? { key, digest, timeMs, answer: bytes.subarray(end) }
    : undefined;
}

/** The database's keys of answers that are too old at a time, and of what finds them. */
export async function expiredAnswers(
  database: LevelDatabase,
  keys: LevelKeys,
  nowMs: number,
): Promise<readonly string[]> {
  const { gt } = keys.range("idem-time");
  const limitMs = nowMs - IDEMPOTENCY_MS;
  if (limitMs <= 0) return [];
  const marks = await database
    .keys({
      gt,
      lt: keys.idempotentAt(limitMs, ""),
      limit: PRUNED_AT_ONCE,
    })
    .all();
  if (marks.length === 0) return [];
  // A key may have been used again since: its answer is then newer than the mark that led here.
  const names = marks.map((mark) =>
    mark.slice(keys.idempotentAt(limitMs, "").length),
  );
  const answers = await getValues(
    database,
    names.map((name) => keys.idempotent(name)),
  );
  return [
    ...marks,
    ...names.flatMap((name, i) => {
      const answer = decodeAnswer(name, answers[i]);
      return answer === undefined || answer.timeMs < limitMs
        ? [keys.idempotent(name)]
        : [];
    }),
  ];
}
