import { randomFillSync } from "node:crypto";

const ID_BYTES = 16;
/** Random bytes are asked for many at a time: asking is what costs. */
const POOL = Buffer.allocUnsafe(256 * ID_BYTES);
let used = POOL.length;

/** A new id for a request: 128 random bits, in lower-case hex. */
export function requestId(): string {
  if (used === POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  const from = used;
  used += ID_BYTES;
  return POOL.toString("hex", from, used);
}
