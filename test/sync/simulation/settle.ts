import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import { NackClass } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../../src/model/cursor.ts";
import { lossOf } from "./contents.ts";
import type { ControlPlaneModel } from "./control-plane-model.ts";
import type { Setup } from "./decisions.ts";
import { BrokenInvariant, canServe } from "./invariants.ts";
import type { NodeModel } from "./node-model.ts";
import type { World } from "./world.ts";

/** How long things may take to come to rest when nothing goes wrong any more: longer than any time to wait there is. */
const ROUNDS = 80;
const ROUND_MS = 9_000;

/**
 * Nothing goes wrong any more: everything that is under way arrives and works, and time passes. In the end every node
 * serves the head, or there is a reason why not; and when people have done what the reasons ask for, only those that
 * cannot serve the head do not.
 */
export function settle(world: World, setup: Setup): void {
  heal(world);
  if (setup.faults.includes("slow")) {
    // One node is as good as dead: that is nothing to the others.
    const [frozen, ...others] = world.nodes;
    rest(world, others);
    for (const node of others)
      if (homeOf(world, node).store.holdOf(node.index) === undefined)
        judge(world, node, frozen);
  }
  rest(world, world.nodes);
  for (const node of world.nodes) judgeKept(world, node);
  world.release();
  rest(world, world.nodes);
  // One alarm may hide another: that a node has forked is seen when what it refused is tried again.
  for (let times = 0; times < 3; times++) {
    const unhappy = world.nodes.filter(
      (node) => !judge(world, node, undefined),
    );
    if (unhappy.length === 0) return;
    askPeople(world);
    rest(world, world.nodes);
  }
  for (const node of world.nodes) {
    const { published } = homeOf(world, node);
    if (
      !cursorsEqual(node.served?.state.cursor, published.cursor) &&
      canServe(node, published)
    )
      throw new BrokenInvariant(
        `node ${node.index} serves ${describeCursor(node.served?.state.cursor)} though everything was retried, allowed and adopted; the head is ${describeCursor(published.cursor)}`,
      );
  }
}

function heal(world: World): void {
  for (const store of world.stores) store.full = false;
  for (const controlPlane of world.controlPlanes) {
    if (!controlPlane.up) controlPlane.start();
    controlPlane.publish(true);
  }
  for (const node of world.nodes) {
    world.act(["nodeDisk", node.index, 0]);
    world.quieten(node);
  }
}

/** Lets things happen to these nodes, and time pass, until nothing is left to happen. */
function rest(world: World, nodes: readonly NodeModel[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (const node of nodes) {
      if (node.wire === undefined) world.connect(node, homeOf(world, node));
      world.pump(node, true);
    }
    if (
      nodes.every(
        ({ wire, storeAtMs }) => wire !== undefined && storeAtMs === Infinity,
      )
    )
      return;
    world.tick(ROUND_MS);
    for (const node of nodes) world.pump(node, true);
  }
  throw new BrokenInvariant(
    "a node never gets a stream again, or never stores what it has",
  );
}

/** Which control plane a node goes to when all are there. */
function homeOf(world: World, node: NodeModel): ControlPlaneModel {
  const home =
    world.controlPlaneOf(node) ??
    world.controlPlanes[node.index % world.controlPlanes.length];
  if (home === undefined) throw new RangeError("there is no control plane");
  return home;
}

/** Whether a node serves the head. If not, there must be a reason, which is looked for here without the machines. */
function judge(
  world: World,
  node: NodeModel,
  frozen: NodeModel | undefined,
): boolean {
  const controlPlane = homeOf(world, node);
  const { published, store } = controlPlane;
  const head = published.cursor;
  const serving = node.served?.state.cursor;
  const link = world.linkOf(node);
  const name =
    frozen === undefined ? "" : ` while node ${frozen.index} is slow`;
  if (!cursorsEqual(link?.session.acked, serving))
    throw new BrokenInvariant(
      `node ${node.index} serves ${describeCursor(serving)}, the control plane believes ${describeCursor(link?.session.acked)}${name}`,
    );
  if (!cursorsEqual(node.disk.held?.state.cursor, serving))
    throw new BrokenInvariant(
      `node ${node.index} serves ${describeCursor(serving)} and has stored ${describeCursor(node.disk.held?.state.cursor)}${name}`,
    );
  if (cursorsEqual(serving, head)) return true;
  const forked = serving?.epoch === head.epoch && !store.knows(serving);
  const loss =
    node.served === undefined
      ? undefined
      : lossOf(node.served.content, published.content);
  const held =
    loss !== undefined &&
    serving?.epoch !== head.epoch &&
    !published.predecessors.includes(serving?.epoch ?? "") &&
    // Remembered of what it served before a quarantine or a damage, too: somebody looks at it anyway.
    (loss.removed * 2 > loss.held || holdsBack(node, head));
  if (
    forked ||
    held ||
    !canServe(node, published) ||
    link?.audit.refuses(head.root) === true
  )
    return false;
  throw new BrokenInvariant(
    `node ${node.index} serves ${describeCursor(serving)} and nothing keeps it from the head, ${describeCursor(head)}${name}`,
  );
}

/** A node that is kept at a state serves it, or a later one already, or there is a reason why it cannot be brought there. */
function judgeKept(world: World, node: NodeModel): void {
  const { store } = homeOf(world, node);
  const hold = store.holdOf(node.index);
  const link = world.linkOf(node);
  if (hold === undefined || link?.session.limit?.reachable !== true) return;
  const { cursor } = hold;
  const serving = node.served?.state.cursor;
  if (
    cursorsEqual(serving, cursor) ||
    store.isAfter(serving, cursor) ||
    link.session.forked ||
    link.audit.refuses(cursor.root) ||
    holdsBack(node, cursor) ||
    !canServe(node, hold)
  )
    return;
  throw new BrokenInvariant(
    `node ${node.index} serves ${describeCursor(serving)} and nothing keeps it from ${describeCursor(cursor)}, at which it is kept`,
  );
}

/** Whether the node remembers to have held a state back. */
function holdsBack({ replica }: NodeModel, { root }: Cursor): boolean {
  return replica.refusals.some(
    (refusal) =>
      refusal.class === NackClass.HELD && refusal.cursor?.root === root,
  );
}

/** Somebody looks at the alarms: tries again what was refused, allows what is held back, adopts where nodes have forked. */
function askPeople(world: World): void {
  for (const controlPlane of world.controlPlanes) {
    const forked = controlPlane.links.some(({ session }) => session.forked);
    if (forked) world.adopt(controlPlane);
  }
  for (const controlPlane of world.controlPlanes) controlPlane.publish(true);
  for (const node of world.nodes) {
    const controlPlane = homeOf(world, node);
    controlPlane.retry(node.index);
    world.allow(controlPlane, node);
  }
}
