import type { Node } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { createHash } from "node:crypto";
import type { Hello, Timings } from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Session } from "../../sync/session/state.ts";
import { applyTimingsOf } from "./node-view.ts";
import type { NodePlace } from "./nodes.ts";

/** What is known of one node. */
export interface Entry {
  /** What outlives a session. `wanted`, `in_sync` and `reason` are computed when it is shown. */
  readonly node: Node;
  session: Session | undefined;
  /** How the last apply went. Made into what people read only when they do: there is one with every change. */
  lastApply:
    | { readonly timings: Timings | undefined; readonly roundTripMs: number }
    | undefined;
  /** When `last_seen` was last written. */
  savedSeenMs: number;
  /** When listeners last heard of counters. */
  countedMs: number;
  /** Which build and features the refused roots belong to. */
  refuser: string;
  refusedRoots: string[];
}

/** A node of which nothing else is known yet. */
export function newEntry(node: Node): Entry {
  return {
    node,
    session: undefined,
    lastApply: undefined,
    savedSeenMs: 0,
    countedMs: -Infinity,
    refuser: "",
    refusedRoots: [],
  };
}

/** The node, with how its last apply went. */
export function withApply({ node, lastApply }: Entry): Node {
  if (lastApply !== undefined)
    node.lastApply = applyTimingsOf(lastApply.timings, lastApply.roundTripMs);
  return node;
}

/** When a node's stream ended; later than any when it has not. */
export function goneAt(entry: Entry | undefined): number {
  const at = entry?.node.disconnectedAt;
  return at === undefined ? Infinity : timestampMs(at);
}

/** Whether a node has all of these labels. */
export function hasLabels(
  node: Node,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(labels).every(
    ([name, value]) => node.labels[name] === value,
  );
}

/** Another build, or other features, may be able to apply what was refused. */
export function refuserOf(hello: Hello): string {
  const hash = createHash("sha256").update(`${hello.node?.build ?? ""}\0`);
  const features = hello.features.map((f) => `${f.name}@${f.version}`);
  return hash.update(features.sort().join("\0")).digest("hex");
}

/** By host name, then id. */
export function byPlace(a: NodePlace, b: NodePlace): number {
  return compare(a.hostname, b.hostname) || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
