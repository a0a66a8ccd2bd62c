import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  NodeRequestsSchema,
  NodeSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import {
  NackClass,
  type Hello,
  type Report,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../sync/limits.ts";
import { nackClassName } from "../../sync/names.ts";
import { isLasting } from "../../sync/session/greeting.ts";
import { presentEpoch } from "../../sync/session/limit.ts";
import type { Session } from "../../sync/session/state.ts";
import { refuserOf, type Entry } from "./node-entry.ts";
import {
  certificateOf,
  describeMissing,
  ipOf,
  lastNackOf,
  type PeerView,
} from "./node-view.ts";

const REQUEST_REVISIONS = 16;
const MAX_COUNT = 0xffff_ffff_ffff_ffffn;

/** Notes who a node says it is, and what it refused. */
export function greeted(
  entry: Entry,
  hello: Hello,
  of: {
    readonly peer: PeerView;
    readonly session: Session;
    readonly workspace: string;
    readonly nowMs: number;
  },
): void {
  const info = hello.node;
  if (info === undefined) return;
  const { peer, session, workspace, nowMs } = of;
  const { node } = entry;
  node.boot = info.boot;
  node.hostname = info.hostname;
  node.ip = ipOf(peer.address);
  if (peer.certificate === undefined) delete node.certificate;
  else node.certificate = certificateOf(peer.certificate);
  node.build = info.build;
  node.labels = { ...info.labels };
  node.workspace = workspace;
  node.connected = true;
  node.connectedAt = timestampFromMs(nowMs);
  delete node.disconnectedAt;
  node.lastSeen = timestampFromMs(nowMs);
  const refuser = refuserOf(hello);
  if (entry.refuser !== refuser) {
    entry.refuser = refuser;
    entry.refusedRoots = [];
  }
  // A node that refused something before a restart of the control plane, or before its own, still knows why.
  const refusal = hello.refused.findLast(
    (known) =>
      known.cursor?.root === session.head.root ||
      known.class === NackClass.CRASHED,
  );
  if (refusal?.cursor !== undefined)
    node.lastNack = create(NodeSchema, {
      lastNack: {
        class: nackClassName(refusal.class),
        cursor: refusal.cursor,
        at: node.lastNack?.at ?? timestampFromMs(nowMs),
        violations: refusal.violations.map(({ key, field, reason }) => ({
          key,
          field,
          reason,
        })),
      },
    }).lastNack;
}

/** Notes what has become of a node since its session was as before. */
export function moved(
  entry: Entry,
  before: Session | undefined,
  session: Session,
  nowMs: number,
): void {
  const { node } = entry;
  if (session.acked === undefined) delete node.serving;
  else node.serving = session.acked;
  if (session.lastNack !== undefined && session.lastNack !== before?.lastNack) {
    node.lastNack = lastNackOf(session.lastNack, nowMs);
    node.retryPending = false;
    const { cursor, class: nackClass } = session.lastNack;
    if (cursor !== undefined && isLasting(nackClass))
      entry.refusedRoots = [
        ...entry.refusedRoots.filter((root) => root !== cursor.root),
        cursor.root,
      ].slice(-LIMITS.refusals);
  }
  if (session.lastAck !== undefined && session.lastAck !== before?.lastAck) {
    delete node.lastNack;
    if (session.acked !== undefined) node.acknowledged = session.acked;
    node.retryPending = false;
    const sentMs = before?.inFlight?.sentMs ?? session.seenMs;
    entry.lastApply = {
      timings: session.lastAck.timings,
      roundTripMs: session.seenMs - sentMs,
    };
  }
  // Used up, by following or by holding back all the same.
  if (
    before?.allowed === true &&
    !session.allowed &&
    presentEpoch(before) === presentEpoch(session)
  )
    node.allowedEpoch = "";
  if (session.inFlight?.seq !== before?.inFlight?.seq) delete node.progress;
  node.missingFeatures = [...session.missing, ...session.degraded].map(
    describeMissing,
  );
}

/** Adds what a node has served to what is known. */
export function count(node: Node, report: Report): void {
  const byRevision = new Map(node.requests.map((r) => [r.revision, r]));
  for (const { revision, requests, errors } of report.counters) {
    const known = byRevision.get(revision);
    if (known === undefined)
      byRevision.set(
        revision,
        create(NodeRequestsSchema, { revision, requests, errors }),
      );
    else {
      known.requests = sum(known.requests, requests);
      known.errors = sum(known.errors, errors);
    }
  }
  node.requests = [...byRevision.values()]
    .sort((a, b) => Number(b.revision - a.revision))
    .slice(0, REQUEST_REVISIONS);
}

/** Counters are whatever nodes say: their sum must still be one that can be written. */
function sum(a: bigint, b: bigint): bigint {
  const total = a + b;
  return total > MAX_COUNT ? MAX_COUNT : total;
}

/** Whether a node has just been sent a state, or taken one up, as all nodes do with every change. */
export function isRoutine(
  before: Session | undefined,
  after: Session,
): boolean {
  return (
    before?.at === after.at &&
    before.acked !== undefined &&
    before.lastNack === after.lastNack &&
    before.missing === after.missing &&
    before.degraded === after.degraded &&
    before.refusedRoots === after.refusedRoots &&
    before.forked === after.forked &&
    before.held === after.held &&
    before.allowed === after.allowed
  );
}

/** Whether anything that people are shown is different. */
export function changed(before: Session | undefined, after: Session): boolean {
  return (
    before?.at !== after.at ||
    before.acked !== after.acked ||
    before.inFlight?.seq !== after.inFlight?.seq ||
    before.inFlight?.parked !== after.inFlight?.parked ||
    before.lastNack !== after.lastNack ||
    before.missing !== after.missing ||
    before.degraded !== after.degraded ||
    before.refusedRoots !== after.refusedRoots ||
    before.forked !== after.forked ||
    before.held !== after.held ||
    before.allowed !== after.allowed
  );
}
