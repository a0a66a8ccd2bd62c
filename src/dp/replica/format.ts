import { createHash } from "node:crypto";
import type { Level } from "level";

/** The database of a replica: text keys, bytes as values. */
export type Database = Level<string, Uint8Array>;

/** The format this code writes, and the newest that it reads. */
export const FORMAT = 1;

/** Keys of what is not an entry. Older builds leave alone those that they do not know. */
export const META = {
  format: "meta/format",
  workspace: "meta/workspace",
  cursor: "meta/cursor",
  refusals: "meta/refusals",
  /** How the last change is undone: which state that gives, and in how many parts it is kept. */
  inverse: "meta/inverse",
  /** Which states this node took up that have not proved themselves yet. */
  trials: "meta/trials",
  /** When a control plane last said that what is served is its newest. */
  confirmed: "meta/confirmed",
} as const;

export const ENTRY = "entry/";
/** The first text after all that begin with ENTRY. */
export const ENTRY_END = "entry0";

/** The key of a part of what undoes the last change. By number: the next change's parts overwrite them. */
export function inverseKey(part: number): string {
  return `inverse/${part}`;
}

const SEAL_BYTES = 32;

/** Bytes with their SHA-256 in front: LevelDB does not check what it reads from its tables, and no root covers these. */
export function seal(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([createHash("sha256").update(bytes).digest(), bytes]);
}

/** What was sealed; undefined when it is not what was written. */
export function unseal(sealed: Uint8Array): Uint8Array | undefined {
  const bytes = sealed.subarray(SEAL_BYTES);
  return createHash("sha256")
    .update(bytes)
    .digest()
    .equals(sealed.subarray(0, SEAL_BYTES))
    ? bytes
    : undefined;
}

/** Plain data, sealed. */
export function sealJson(value: unknown): Uint8Array {
  return seal(text(JSON.stringify(value)));
}

/** What {@link sealJson} was given; undefined when there is none, or it is not what was written. */
export function unsealJson(sealed: Uint8Array | undefined): unknown {
  const bytes = sealed === undefined ? undefined : unseal(sealed);
  return bytes === undefined ? undefined : JSON.parse(string(bytes));
}

export function text(value: string): Uint8Array {
  return Buffer.from(value, "utf8");
}

export function string(value: Uint8Array): string {
  return Buffer.from(value).toString("utf8");
}
