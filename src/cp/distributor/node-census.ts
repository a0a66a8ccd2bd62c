import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  MissingNodeSchema,
  type MissingNode,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorsEqual } from "../../model/cursor.ts";
import { degradedOf, missingOf } from "../../sync/features.ts";
import { hasLabels, type Entry } from "./node-entry.ts";
import { conditionsOf, isBlocked, reasonOf } from "./node-view.ts";
import { servesRevision, type LackingNodes, type WaitState } from "./nodes.ts";
import type { Hold } from "./rollout.ts";

/** A node that is gone still counts for waiting this long: it may be restarting. */
const COUNTED_AFTER_MS = 60_000;

/** The nodes that are counted, and what they should serve. */
export interface Census {
  /** To be gone through once. */
  readonly entries: Iterable<Entry>;
  readonly head: Cursor;
  readonly holdOf: (id: string) => Hold | undefined;
}

/** What metrics tell of the nodes. */
export interface NodeFigures {
  readonly known: number;
  readonly inSync: number;
  /** Connected nodes that lack a feature the head needs. */
  readonly lacking: number;
  /** When the first of the connected nodes' certificates expires: milliseconds since the Unix epoch, 0 without any. */
  readonly firstExpiryMs: number;
  /** How many nodes have each condition that any has. */
  readonly conditions: ReadonlyMap<string, number>;
}

/** Counts for metrics, without showing every node. */
export function figuresOf({ entries, head, holdOf }: Census): NodeFigures {
  const conditions = new Map<string, number>();
  const figures = { known: 0, inSync: 0, lacking: 0, firstExpiryMs: 0 };
  for (const { node, session } of entries) {
    figures.known++;
    if (node.connected && cursorsEqual(node.serving, head)) figures.inSync++;
    if (node.missingFeatures.length > 0) figures.lacking++;
    const expiresAt = node.connected && node.certificate?.expiresAt;
    if (expiresAt) {
      const atMs = timestampMs(expiresAt);
      if (figures.firstExpiryMs === 0 || atMs < figures.firstExpiryMs)
        figures.firstExpiryMs = atMs;
    }
    for (const name of conditionsOf(node, session, head, holdOf(node.id)))
      conditions.set(name, (conditions.get(name) ?? 0) + 1);
  }
  return { ...figures, conditions };
}

/** How far the nodes that count, with these labels, are with a revision. */
export function waitingFor(
  { entries, head, holdOf }: Census,
  nowMs: number,
  revision: bigint,
  labels: Readonly<Record<string, string>>,
): WaitState {
  const state = {
    serving: 0,
    total: 0,
    refusing: 0,
    heldBack: 0,
    missing: [] as MissingNode[],
  };
  for (const entry of entries) {
    const { node, session } = entry;
    const goneMs =
      node.disconnectedAt === undefined
        ? Infinity
        : nowMs - timestampMs(node.disconnectedAt);
    if (!node.connected && goneMs > COUNTED_AFTER_MS) continue;
    if (!hasLabels(node, labels)) continue;
    state.total++;
    if (
      session?.forked !== true &&
      servesRevision(node.serving, head, revision)
    ) {
      state.serving++;
      continue;
    }
    const hold = holdOf(node.id);
    if (hold !== undefined && !leadsTo(hold, head, revision)) state.heldBack++;
    else if (
      session !== undefined &&
      isBlocked(session) &&
      session.head.revision >= revision
    )
      state.refusing++;
    state.missing.push(
      create(MissingNodeSchema, {
        id: node.id,
        hostname: node.hostname,
        reason: reasonOf(node, session, head, hold),
        ...(node.serving === undefined ? {} : { serving: node.serving }),
      }),
    );
  }
  return state;
}

/** Which connected nodes lack any of these features: those that refuse a state for that, and those that do not. */
export function lackingOf(
  { entries }: Pick<Census, "entries">,
  features: readonly { readonly name: string; readonly version: number }[],
): LackingNodes[] {
  return features.flatMap((feature) => {
    const need = [{ ...feature, keys: [] }];
    const lacking = (of: typeof missingOf): string[] =>
      [...entries]
        .filter(
          ({ session }) =>
            session?.hello !== undefined &&
            of(need, session.hello.features).length > 0,
        )
        .map(({ node }) => node.id);
    return [
      { feature, refusing: true, nodes: lacking(missingOf) },
      { feature, refusing: false, nodes: lacking(degradedOf) },
    ].filter(({ nodes }) => nodes.length > 0);
  });
}

/** Whether a node that is kept at a state will serve a revision all the same. */
function leadsTo(
  { cursor, reachable }: Hold,
  head: Cursor,
  revision: bigint,
): boolean {
  return reachable && servesRevision(cursor, head, revision);
}
