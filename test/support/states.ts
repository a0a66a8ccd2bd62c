import type { State } from "../../src/dp/replica/last-good.ts";
import { cursorOf } from "../../src/model/cursor.ts";
import { runSlices } from "../../src/model/slices.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { id } from "./resources.ts";

/** The key of the n-th made-up service. */
function serviceKey(n: number): string {
  return `service/${id(n)}`;
}

/** A state whose entries are made-up bytes, by number. */
export function stateOf(
  revision: number | bigint,
  entries: Iterable<readonly [n: number, value: string | Uint8Array]> = [],
  options: { readonly workspace?: string; readonly epoch?: string } = {},
): State {
  const snapshot = runSlices(
    Snapshot.empty(options.workspace ?? "default").applySlices({
      puts: [...entries].map(([n, value]) => ({
        key: serviceKey(n),
        value: Buffer.from(value),
      })),
      deletes: [],
    }),
  );
  return {
    snapshot,
    cursor: cursorOf(options.epoch ?? "epoch", BigInt(revision), snapshot.root),
  };
}

/** So many entries of so many bytes, different for each revision. */
export function filled(
  revision: number | bigint,
  count: number,
  bytes = 100,
): State {
  return stateOf(
    revision,
    Array.from({ length: count }, (_, n) => [
      n,
      `${revision} ${n} `.padEnd(bytes, "x"),
    ]),
  );
}

/** A state as plain data: two that are equal in it are equal. */
export function plain(state: State | undefined): unknown {
  if (state === undefined) return undefined;
  const { cursor, snapshot } = state;
  return {
    epoch: cursor.epoch,
    revision: cursor.revision,
    root: cursor.root,
    workspace: snapshot.workspace,
    entries: [...snapshot.entries()].map(({ key, value }) => [
      key,
      Buffer.from(value).toString("latin1"),
    ]),
  };
}
