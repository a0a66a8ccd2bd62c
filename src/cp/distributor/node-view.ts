import { create } from "@bufbuild/protobuf";
import {
  durationFromMs,
  timestampFromMs,
  type Duration,
} from "@bufbuild/protobuf/wkt";
import {
  ApplyTimingsSchema,
  LastNackSchema,
  NodeCertificateSchema,
  NodeProgressSchema,
  type ApplyTimings,
  type LastNack,
  type Node,
  type NodeCertificate,
  type NodeProgress,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type {
  MissingFeature,
  Nack,
  Report,
  Timings,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import type { Peer, PeerCertificate } from "../../runtime/peer.ts";
import { nackClassName } from "../../sync/names.ts";
import { isPast } from "../../sync/session/limit.ts";
import { isHeld } from "../../sync/session/offering.ts";
import type { Session } from "../../sync/session/state.ts";
import type { Hold } from "./rollout.ts";

/** A Nack as people see it. */
export function lastNackOf(nack: Nack, atMs: number): LastNack {
  return create(LastNackSchema, {
    class: nackClassName(nack.class),
    ...(nack.cursor === undefined ? {} : { cursor: nack.cursor }),
    at: timestampFromMs(atMs),
    violations: nack.violations.map(({ key, field, reason }) => ({
      key,
      field,
      reason,
    })),
  });
}

/** The timings of an Ack as people see them. */
export function applyTimingsOf(
  timings: Timings | undefined,
  roundTripMs: number,
): ApplyTimings {
  return create(ApplyTimingsSchema, {
    receive: micros(timings?.receiveUs),
    verify: micros(timings?.verifyUs),
    prepare: micros(timings?.prepareUs),
    persist: micros(timings?.persistUs),
    commit: micros(timings?.commitUs),
    roundTrip: durationFromMs(Math.round(roundTripMs)),
  });
}

function micros(told = 0n): Duration {
  // A node may say anything; a duration has a range.
  const value = told > MAX_MICROS ? MAX_MICROS : told;
  return {
    $typeName: "google.protobuf.Duration",
    seconds: value / 1_000_000n,
    nanos: Number(value % 1_000_000n) * 1000,
  };
}

/** A day. */
const MAX_MICROS = 86_400_000_000n;

/** What a node list shows of the other end of a connection. */
export type PeerView = Pick<Peer, "address" | "certificate">;

/** The address without the port. */
export function ipOf(address: string): string {
  return address.replace(/:\d+$/, "");
}

/** A certificate as people see it. */
export function certificateOf(certificate: PeerCertificate): NodeCertificate {
  return create(NodeCertificateSchema, {
    name: certificate.name,
    nodeId: certificate.nodeId ?? "",
    expiresAt: timestampFromMs(certificate.expiresAtMs),
    fingerprint: certificate.fingerprint,
  });
}

/** How far the apply of the frame in flight has come, as a node reports it. */
export function progressOf(
  { progress }: Report,
  inFlight: Session["inFlight"],
): NodeProgress | undefined {
  return progress === undefined || progress.seq !== inFlight?.seq
    ? undefined
    : create(NodeProgressSchema, {
        revision: inFlight.to.revision,
        step: progress.step,
        done: progress.done,
        total: progress.total,
      });
}

/** Whether nothing will come of waiting: somebody has to do something before the node is sent the head. */
export function isBlocked(session: Session): boolean {
  return (
    session.missing.length > 0 ||
    session.refusedRoots.has(session.head.root) ||
    session.forked ||
    isHeld(session)
  );
}

/** What somebody should know of a node: the words of `Node.conditions`. */
export function conditionsOf(
  node: Pick<Node, "connected" | "serving" | "acknowledged" | "lastNack">,
  session: Session | undefined,
  head: Cursor,
  hold?: Hold,
): readonly string[] {
  const { acknowledged, serving } = node;
  const regressed =
    acknowledged?.epoch === (serving ?? head).epoch &&
    acknowledged.revision > (serving?.revision ?? -1n);
  const conditions: Readonly<Record<string, boolean>> = {
    forked: session?.forked === true,
    held: session !== undefined && isHeld(session),
    quarantined: node.lastNack?.class === "CRASHED",
    refused: session?.refusedRoots.has((hold?.cursor ?? head).root) === true,
    regressed: session !== undefined && regressed,
    degraded: session !== undefined && session.degraded.length > 0,
    lacking: session !== undefined && session.missing.length > 0,
    pinned: hold?.type === "pinned",
    paused: hold?.type === "paused",
  };
  return Object.keys(conditions).filter((name) => conditions[name]);
}

/** Why a node does not serve the head, or not all of it, for people; empty when it does. */
export function reasonOf(
  node: Pick<Node, "connected" | "serving" | "lastNack">,
  session: Session | undefined,
  head: Cursor,
  hold?: Hold,
): string {
  return hold === undefined || cursorsEqual(node.serving, head)
    ? whyNot(node, session, head)
    : whyHeld(node, session, hold);
}

/** Why a node that is kept from the head does not serve it, and what else there is to say of it. */
function whyHeld(
  node: Pick<Node, "connected" | "serving" | "lastNack">,
  session: Session | undefined,
  { type, cursor, reachable }: Hold,
): string {
  const what = `${type}${type === "paused" ? " at" : " to"} revision ${cursor.revision}`;
  const stays = `${node.serving === undefined ? "is sent nothing" : "stays where it is"} until it is ${type === "paused" ? "resumed" : "unpinned"}`;
  if (cursorsEqual(node.serving, cursor))
    return session === undefined ? `${what}; not connected` : what;
  if (!reachable)
    return `${what}, which this history does not reach any more, and ${stays}`;
  if (session !== undefined && isPast(session))
    return `${what}, and past that already: it ${stays}`;
  return `${what}; ${whyNot(node, session, cursor)}`;
}

function whyNot(
  node: Pick<Node, "connected" | "serving" | "lastNack">,
  session: Session | undefined,
  head: Cursor,
): string {
  if (!node.connected || session === undefined) return "not connected";
  if (cursorsEqual(node.serving, head))
    return session.degraded.length === 0
      ? ""
      : `degraded: ${session.degraded.map(describeMissing).join("; ")}`;
  if (session.missing.length > 0)
    return session.missing.map(describeMissing).join("; ");
  if (session.forked)
    return `forked: serves ${describeCursor(node.serving)}, which this history does not have. If this history is the right one: holdfast adopt`;
  const nack = node.lastNack;
  if (isHeld(session))
    return `holds revision ${head.revision} back: it would lose more than half of its entries. If that is meant: holdfast nodes allow`;
  if (nack !== undefined && session.refusedRoots.has(head.root))
    return `refuses revision ${head.revision}: ${describeNack(nack)}`;
  if (session.inFlight?.parked === true && nack !== undefined)
    return `cannot store revision ${session.inFlight.to.revision} and tries again: ${describeNack(nack)}`;
  if (session.inFlight !== undefined)
    return `is applying revision ${session.inFlight.to.revision}`;
  if (session.at !== "active") return "is connecting";
  return session.refusedRoots.has(head.root)
    ? `has refused revision ${head.revision} before`
    : `is about to be sent revision ${head.revision}`;
}

/** "lacks plugin/acl (version 1), which plugin/6f… needs: …". */
export function describeMissing(missing: MissingFeature): string {
  const needed = missing.keys.slice(0, 3).join(", ");
  return `lacks ${missing.feature?.name ?? "a feature"} (version ${missing.feature?.version ?? 0}), which ${needed} needs: ${missing.consequence}`;
}

function describeNack(nack: LastNack): string {
  const first = nack.violations[0];
  if (first === undefined) return nack.class;
  const more =
    nack.violations.length > 1
      ? ` (and ${nack.violations.length - 1} more)`
      : "";
  return [nack.class, first.key, first.field, first.reason]
    .filter((part) => part !== "")
    .join(": ")
    .concat(more);
}
