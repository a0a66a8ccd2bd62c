import { readFallbackAddress } from "../dp/fallback-address.ts";
import { optional, flag } from "./flags.ts";
import { UsageError } from "./io.ts";
import { duration, oneOf, text, type ValueType } from "./value-types.ts";

/** A file's name, or the URL of one. */
const snapshotSource: ValueType<string> = {
  placeholder: "FILE|URL",
  read(given) {
    const file = text("FILE").read(given);
    if (!file.ok) return file;
    const address = readFallbackAddress(given);
    return typeof address === "string"
      ? { ok: false, reason: address }
      : { ok: true, value: given };
  },
};

/** What a data plane does about a configuration that nobody confirms, and without one. */
export const startFlags = {
  maxStale: optional(duration("8760h"), {
    summary:
      "How long after a control plane last confirmed it the configuration served counts as stale, kept over restarts; at least 15s, as control planes speak every 10 s. Without it: never.",
  }),
  whenStale: flag(oneOf(["serve", "warn", "unready"]), {
    summary:
      "What to do then, besides the metric: nothing, log it, or answer 503 at /status/ready. Traffic is served in any case.",
    default: "serve",
  }),
  fallback: optional(snapshotSource, {
    summary:
      "A snapshot file (export-snapshot, cp --publish-snapshot) to start from when there is nothing in the data directory and no control plane. A URL may have a user and a password.",
  }),
  fallbackKey: optional(text("FILE"), {
    summary: "The public key (Ed25519, PEM) of who must have signed it.",
  }),
};

const LEAST_STALE_MS = 15_000;

/** What {@link startFlags} say, as a data plane takes it. */
export function startOptionsOf(given: {
  readonly maxStale: number | undefined;
  readonly whenStale: "serve" | "warn" | "unready";
  readonly fallback: string | undefined;
  readonly fallbackKey: string | undefined;
}) {
  const { maxStale, whenStale, fallback, fallbackKey } = given;
  const problems = [
    ...(maxStale !== undefined && maxStale < LEAST_STALE_MS
      ? [
          `--max-stale: ${maxStale} ms is less than 15s; a control plane confirms the configuration every 10 s`,
        ]
      : []),
    ...(maxStale === undefined && whenStale !== "serve"
      ? [
          `--when-stale ${whenStale} needs --max-stale: nothing is stale without`,
        ]
      : []),
    ...(fallback !== undefined && fallbackKey === undefined
      ? ["--fallback needs --fallback-key: only a signed file is started from"]
      : []),
    ...(fallback === undefined && fallbackKey !== undefined
      ? ["--fallback-key is for --fallback, which is not given"]
      : []),
  ];
  if (problems.length > 0) throw new UsageError(problems);
  return {
    ...(maxStale === undefined ? {} : { maxStaleMs: maxStale }),
    whenStale,
    ...(fallback === undefined || fallbackKey === undefined
      ? {}
      : { fallback: { source: fallback, keyFile: fallbackKey } }),
  };
}
