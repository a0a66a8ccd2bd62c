import type { Clock } from "../../runtime/clock.ts";
import { ConfigError } from "../../model/violation.ts";
import { IDEMPOTENCY_MS, type Store } from "../store/store.ts";
import type { ChangeInfo, TransactResult, WarningInfo } from "./operation.ts";
import type { Head } from "./state.ts";

/** What of a result is kept for a request that comes again. */
interface KeptAnswer {
  readonly revision: string;
  readonly changes: readonly ChangeInfo[];
  readonly warnings: readonly WarningInfo[];
  readonly keys: readonly string[];
}

/** A result as it is kept: JSON. */
export function encodeResult(result: TransactResult): Uint8Array {
  const kept: KeptAnswer = {
    revision: result.revision.toString(),
    changes: result.changes,
    warnings: result.warnings,
    keys: result.keys,
  };
  return Buffer.from(JSON.stringify(kept));
}

/** A result that was kept, with the head of now. */
function decodeResult(answer: Uint8Array, head: Head): TransactResult {
  const text = Buffer.from(answer).toString("utf8");
  const kept = JSON.parse(text) as KeptAnswer;
  return { ...kept, revision: BigInt(kept.revision), head };
}

/**
 * The first answer to a request with this key; undefined when there is none, or it is older than 24 hours.
 *
 * @throws ConfigError when the key was used for another request.
 */
export async function earlierResult(
  store: Store,
  clock: Clock,
  head: Head,
  key: string,
  digest: string,
): Promise<TransactResult | undefined> {
  const earlier = await store.idempotent(head.snapshot.workspace, key);
  if (earlier === undefined || clock.now() - earlier.timeMs > IDEMPOTENCY_MS)
    return undefined;
  if (earlier.digest !== digest)
    throw keyReused(key, new Date(earlier.timeMs).toISOString());
  return decodeResult(earlier.answer, head);
}

/** An idempotency key stands for one request. */
export function keyReused(key: string, when: string): ConfigError {
  return ConfigError.of("invalid_argument", [
    {
      kind: "",
      name: "",
      field: "idempotency_key",
      reason: `${JSON.stringify(key)} was used for another request (${when}): use a new key for each request, and the same one only to repeat it`,
    },
  ]);
}
