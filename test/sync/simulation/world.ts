import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import type {
  Replica,
  ReplicaEvent,
  ReplicaStep,
} from "../../../src/sync/replica/state.ts";
import type {
  Session,
  SessionEvent,
  SessionStep,
} from "../../../src/sync/session/state.ts";
import {
  SLOTS,
  slotOf,
  withSlot,
  type Content,
  type State,
} from "./contents.ts";
import { ControlPlaneModel, type Link } from "./control-plane-model.ts";
import type { Coverage } from "./coverage.ts";
import { replicaStateOf, sessionStateOf } from "./coverage-states.ts";
import type { Decision, Setup } from "./decisions.ts";
import { numberOf, type Fault } from "./faults.ts";
import { BrokenInvariant } from "./invariants.ts";
import { Wire } from "./network.ts";
import { NodeModel, type Crash } from "./node-model.ts";
import { StoreModel } from "./store-model.ts";
import type { Machines, Surroundings } from "./surroundings.ts";
import { describeStep } from "./trace.ts";

/** One stream as the world sees it: both ends, or what is left of them. */
interface Route {
  readonly wire: Wire;
  readonly controlPlane: ControlPlaneModel;
  readonly link: Link;
}

/** What can happen next to a node and its streams. */
type Option =
  | "idle"
  | "job"
  | "nodeReads"
  | "reads"
  | "admits"
  | "learns"
  | "writes"
  | "drains"
  | "finishes";

/** What a run keeps beside the world. */
export interface Recording {
  readonly sessions?: Coverage;
  readonly replicas?: Coverage;
  /** What happened, in words. */
  readonly trace?: string[];
}

const CRASHES: readonly Crash[] = [
  "plain",
  "persisted",
  "lostBatch",
  "damaged",
  "upgraded",
  "quarantined",
];
const CRASH_FAULTS: Readonly<Record<Crash, Fault>> = {
  plain: "nodeCrash",
  persisted: "nodeCrash",
  upgraded: "nodeCrash",
  lostBatch: "damage",
  damaged: "damage",
  quarantined: "quarantine",
};
/** More steps than this without coming to rest: something is sent over and over. */
const RESTLESS = 3_000;

/** Control planes, nodes, stores and disks, the network between them, and the clock. */
export class World implements Surroundings {
  readonly nodes: readonly NodeModel[];
  readonly controlPlanes: readonly ControlPlaneModel[];
  readonly stores: readonly StoreModel[];
  readonly isTrusting: boolean;
  nowMs = 0;
  /** Steps of the machines. */
  steps = 0;
  commits = 0;
  /** Nodes that were given up for they said, or did, nothing. */
  stalls = 0;
  readonly struck = new Set<Fault>();
  readonly #machines: Machines;
  readonly #recording: Recording;
  /** The streams of each node: at most one is its own, others are those whose end a control plane has not seen. */
  readonly #routes: readonly Route[][];
  /** What has struck each node so far: a bit for each fault. */
  readonly #faultsOf: number[];
  readonly #garbled: number[];
  readonly #states = new Map<Cursor, State>();
  readonly #options: Option[] = [];
  readonly #optionRoutes: (Route | undefined)[] = [];
  readonly #moody: boolean;

  constructor(setup: Setup, machines: Machines, recording: Recording) {
    this.#machines = machines;
    this.isTrusting = setup.trusting;
    this.#recording = recording;
    this.stores = Array.from(
      { length: setup.stores },
      (_, at) => new StoreModel("ab"[at] ?? "c"),
    );
    this.controlPlanes = setup.controlPlanes.map(
      (store) => new ControlPlaneModel(this.#store(store), this),
    );
    this.nodes = setup.nodes.map(
      (features, at) => new NodeModel(at, features, this),
    );
    this.#routes = setup.nodes.map(() => []);
    this.#faultsOf = setup.nodes.map(() => 0);
    this.#garbled = setup.nodes.map(() => 0);
    this.#moody = setup.faults.includes("lacking");
    for (const store of this.stores) this.#know(store);
  }

  get trace(): string[] | undefined {
    return this.#recording.trace;
  }

  get wasGarbled(): boolean {
    return this.struck.has("garbled");
  }

  committed(cursor: Cursor): State | undefined {
    return this.#states.get(cursor);
  }

  garbles(node: number): boolean {
    const left = this.#garbled[node] ?? 0;
    if (left === 0) return false;
    this.#garbled[node] = left - 1;
    this.strike("garbled", node);
    return true;
  }

  stepSession(link: Link, session: Session, event: SessionEvent): SessionStep {
    this.steps++;
    const { sessions, trace } = this.#recording;
    sessions?.count(
      sessionStateOf(session),
      event.type,
      this.#faultsOf[link.wire.node] ?? 0,
    );
    const step = this.#machines.stepSession(session, event);
    if (step.session.missing.length > 0) this.strike("lacking", link.wire.node);
    trace?.push(
      describeStep(
        `session of node ${link.wire.node}`,
        sessionStateOf(session),
        event,
        sessionStateOf(step.session),
        step.effects,
      ),
    );
    return step;
  }

  stepReplica(
    node: NodeModel,
    replica: Replica,
    event: ReplicaEvent,
  ): ReplicaStep {
    this.steps++;
    const { replicas, trace } = this.#recording;
    replicas?.count(
      replicaStateOf(replica),
      event.type,
      this.#faultsOf[node.index] ?? 0,
    );
    const step = this.#machines.stepReplica(replica, event);
    trace?.push(
      describeStep(
        `node ${node.index}`,
        replicaStateOf(replica),
        event,
        replicaStateOf(step.replica),
        step.effects,
      ),
    );
    return step;
  }

  /** Does what was decided. Whether anything happened. */
  act([deed, a, b]: Decision): boolean {
    this.trace?.push(`${deed} ${a} ${b}`);
    switch (deed) {
      case "step":
        return this.#go(this.#node(a), b, true);
      case "burst": {
        const node = this.#node(a);
        let chosen = b;
        for (let left = 3 + (b % 20); left > 0; left--) {
          if (!this.#go(node, chosen, true)) return true;
          chosen = (chosen * 7 + 3) % 64;
        }
        return true;
      }
      case "commit":
        return this.#commit(this.#controlPlane(a), b);
      case "publish": {
        const controlPlane = this.#controlPlane(a);
        if (!controlPlane.up) return false;
        return controlPlane.publish(b === 0);
      }
      case "connect":
        return this.connect(this.#node(a), this.#controlPlane(b));
      case "tick":
        this.tick(a);
        return true;
      case "storeAgain":
        this.#node(a).retryStore();
        return true;
      case "refuse":
      case "fail":
        return this.#spoil(this.#node(a), deed);
      case "cut":
        return this.#cut(this.#node(a), b);
      case "crash": {
        const how = CRASHES[b] ?? "plain";
        if (!this.#node(a).crash(how)) return false;
        this.strike(CRASH_FAULTS[how], a);
        return true;
      }
      case "stall":
        return this.#stall(this.#node(a));
      case "linger":
        return this.#linger(this.#node(a));
      case "nodeDisk":
        if (b === 1) this.strike("nodeDiskFull", a);
        this.#node(a).disk.full = b === 1;
        return true;
      case "controlPlaneDisk":
        this.#store(a).full = b === 1;
        return true;
      case "garble":
        this.#garbled[a] = 1 + (b % 4);
        return true;
      case "unpin":
        return this.#unpin(this.#node(a));
      case "stop":
        return this.#stop(this.#controlPlane(a), b);
      case "start": {
        const controlPlane = this.#controlPlane(a);
        if (controlPlane.up) return false;
        controlPlane.start();
        return true;
      }
      case "restoreBackup":
        return this.#replaceHistory(this.#store(a), "backup", (store) => {
          store.restoreBackup(1 + (b % 8));
        });
      case "restoreFile":
        return this.#replaceHistory(this.#store(a), "history", (store) => {
          const old = store.at(b % store.length)?.content ?? 0;
          store.restoreFile(b % 3 === 0 ? withSlot(0, 1, 3) : old);
        });
      case "retry": {
        const controlPlane = this.#controlPlane(a);
        if (!controlPlane.up) return false;
        controlPlane.retry(b);
        return true;
      }
      case "allow":
        return this.allow(this.#controlPlane(a), this.#node(b));
      case "adopt":
        return this.adopt(this.#controlPlane(a));
      case "pinNode":
        return this.#pin(this.#node(a), b);
      case "unpinNode": {
        const { store } = this.#homeOf(this.#node(a));
        if (!store.pins.delete(this.#node(a).index)) return false;
        this.#aim(store);
        return true;
      }
      case "pause": {
        const controlPlane = this.#controlPlane(b);
        const { store } = controlPlane;
        if (!controlPlane.up || store.pause !== undefined) return false;
        store.pause = controlPlane.published;
        this.#aim(store);
        return true;
      }
      case "resume": {
        const { store } = this.#controlPlane(b);
        if (store.pause === undefined) return false;
        store.pause = undefined;
        this.#aim(store);
        return true;
      }
      default:
        return deed satisfies never;
    }
  }

  connect(node: NodeModel, controlPlane: ControlPlaneModel): boolean {
    if (!controlPlane.up || !node.mayConnect || this.nowMs < node.retryAtMs)
      return false;
    const routes = this.#routesOf(node);
    const last = routes.at(-1);
    if (last !== undefined && last.controlPlane.store !== controlPlane.store)
      this.strike("history", node.index);
    const wire = new Wire(node.index, node.boot);
    routes.push({ wire, controlPlane, link: controlPlane.accept(wire) });
    node.connect(wire);
    return true;
  }

  allow(controlPlane: ControlPlaneModel, node: NodeModel): boolean {
    if (!controlPlane.up) return false;
    node.audit.permissions.add(controlPlane.published.cursor.epoch);
    controlPlane.allow(node.index);
    return true;
  }

  adopt(controlPlane: ControlPlaneModel): boolean {
    if (!controlPlane.up) return false;
    controlPlane.adopt();
    this.#know(controlPlane.store);
    controlPlane.publish(false);
    return true;
  }

  /** Lets all nodes follow the head. */
  release(): void {
    for (const store of this.stores) {
      store.pins.clear();
      store.pause = undefined;
      this.#aim(store);
    }
  }

  #homeOf(node: NodeModel): ControlPlaneModel {
    return this.controlPlaneOf(node) ?? this.#controlPlane(node.index);
  }

  #aim(store: StoreModel): void {
    for (const each of this.controlPlanes) if (each.store === store) each.aim();
  }

  /** Somebody pins a node to one of the last states of a history; not before what it is known to serve. */
  #pin(node: NodeModel, back: number): boolean {
    const { store, up } = this.#homeOf(node);
    const state = store.at(
      store.length - 1 - (back % Math.min(store.length, 5)),
    );
    if (!up || state === undefined || !store.reaches(state)) return false;
    const { acked } = this.linkOf(node)?.session ?? {};
    if (back % 4 !== 0 && store.isAfter(acked, state.cursor)) return false;
    store.pins.set(node.index, state);
    this.#aim(store);
    return true;
  }

  tick(milliseconds: number): void {
    this.nowMs += milliseconds;
    for (const controlPlane of this.controlPlanes) controlPlane.tick();
    for (const node of this.nodes) node.tick();
  }

  strike(fault: Fault, node: number): void {
    this.struck.add(fault);
    this.#faultsOf[node] = (this.#faultsOf[node] ?? 0) | (1 << numberOf(fault));
  }

  strikeAll(fault: Fault): void {
    for (const node of this.nodes) this.strike(fault, node.index);
  }

  /** Lets everything of a node happen that can, in some order, until nothing is left; its jobs only when `jobs`. */
  pump(node: NodeModel, jobs: boolean): void {
    for (let left = RESTLESS; left > 0; left--)
      if (!this.#go(node, Math.imul(left, 0x9e3779b1) >>> 8, jobs)) return;
    throw new BrokenInvariant(
      `node ${node.index} and its control plane never come to rest`,
    );
  }

  /** Nothing more is garbled on its way to a node, or fails on it. */
  quieten(node: NodeModel): void {
    node.spoilt = "ok";
    this.#garbled[node.index] = 0;
  }

  /** The live stream of a node. */
  linkOf(node: NodeModel): Link | undefined {
    return this.#routeOf(node)?.link;
  }

  controlPlaneOf(node: NodeModel): ControlPlaneModel | undefined {
    return this.#routeOf(node)?.controlPlane;
  }

  #routeOf(node: NodeModel): Route | undefined {
    const { wire } = node;
    return wire === undefined
      ? undefined
      : this.#routesOf(node).find((route) => route.wire === wire);
  }

  /** One thing of those that can happen next to a node. Whether there was any. */
  #go(node: NodeModel, choice: number, jobs: boolean): boolean {
    const options = this.#options;
    const routes = this.#optionRoutes;
    options.length = 0;
    routes.length = 0;
    const put = (option: Option, route?: Route): void => {
      options.push(option);
      routes.push(route);
    };
    if (jobs && node.job !== undefined) put("job");
    const own = this.#routesOf(node);
    for (let at = own.length - 1; at >= 0; at--) {
      const route = own[at];
      if (route === undefined) continue;
      const { wire, link } = route;
      if (wire.nodeThere && wire.down.length > 0) put("nodeReads");
      if (!wire.controlPlaneThere) {
        if (!wire.nodeThere) own.splice(at, 1);
        continue;
      }
      if (link.session.at === "ended") {
        // A Goodbye takes its time: the session is not gone at once.
        put("idle");
        put("idle");
        put("finishes", route);
      } else if (link.looking !== undefined) {
        put("admits", route);
        // Nothing is read meanwhile, but that the stream is gone is known.
        if (wire.up.at(-1)?.type === "end") put("learns", route);
      } else if (wire.up.length > 0) put("reads", route);
      if (link.undrained !== undefined) put("drains", route);
      else if (link.writes.length > 0) put("writes", route);
    }
    if (options.length === 0) return false;
    const chosen = choice % options.length;
    const route = routes[chosen];
    switch (options[chosen]) {
      case "idle":
        return true;
      case "job":
        this.#work(node);
        return true;
      case "nodeReads":
        node.read();
        return true;
      case "reads":
        if (route) route.controlPlane.read(route.link);
        return true;
      case "admits":
        if (route) route.controlPlane.admit(route.link);
        return true;
      case "learns":
        if (route) route.controlPlane.abandon(route.link);
        return true;
      case "writes":
        if (route) route.controlPlane.write(route.link);
        return true;
      case "drains":
        if (route) route.controlPlane.drained(route.link);
        return true;
      case "finishes":
        if (route) route.controlPlane.finish(route.link);
        return true;
      default:
        return false;
    }
  }

  #work(node: NodeModel): void {
    const { spoilt, job } = node;
    const isDue =
      spoilt === "refuse" ? job?.type === "prepare" : job?.type === "persist";
    if (spoilt === "ok" || !isDue) {
      node.finishJob("ok");
      return;
    }
    node.spoilt = "ok";
    this.strike(spoilt === "refuse" ? "refusal" : "nodeDiskFull", node.index);
    node.finishJob(spoilt);
  }

  /** A transaction: mostly one entry is put or deleted; sometimes an older content comes back, or much is deleted. */
  #commit(controlPlane: ControlPlaneModel, seed: number): boolean {
    const { store } = controlPlane;
    const kind = seed % 16;
    const rest = seed >> 4;
    let content: Content = store.head.content;
    if (kind === 0) content = store.at(rest % store.length)?.content ?? content;
    else if (kind === 1) content = withSlot(0, rest % SLOTS, 1 + (rest % 7));
    else
      for (
        let left = kind < 11 ? 1 : kind < 14 ? 2 : 4, each = rest;
        left > 0;
        left--
      ) {
        const slot = each % SLOTS;
        const value = Math.floor(each / SLOTS) % 8;
        content = withSlot(
          content,
          slot,
          slot >= 4 && !this.#moody ? value % 5 : value,
        );
        each = (each * 31 + 17) % 65_536;
      }
    if (content === store.head.content)
      content = withSlot(content, 0, (slotOf(content, 0) + 1) % 8);
    if (store.full && controlPlane.up) {
      this.strikeAll("controlPlaneDiskFull");
      return true;
    }
    if (!controlPlane.commit(content)) return false;
    this.commits++;
    this.#know(store);
    return true;
  }

  /** The next piece of work of its kind ends badly. */
  #spoil(node: NodeModel, how: "refuse" | "fail"): boolean {
    if (node.spoilt !== "ok") return false;
    node.spoilt = how;
    return true;
  }

  #cut(node: NodeModel, how: number): boolean {
    const route = this.#routeOf(node);
    if (route === undefined) return false;
    this.strike("cut", node.index);
    // Torn for both; or one end goes, and the other has yet to find out.
    if (how % 3 === 0) route.wire.tear();
    else if (how % 3 === 1) node.leave();
    else route.wire.leaveControlPlane();
    if (how % 3 === 2) route.controlPlane.abandon(route.link);
    return true;
  }

  /** Nothing of this node moves for longer than anybody waits; the others go on. */
  #stall(node: NodeModel): boolean {
    this.strike("slow", node.index);
    for (let round = 0; round < 3; round++) {
      this.tick(12_000);
      for (const other of this.nodes)
        if (other !== node) this.pump(other, true);
    }
    for (const { wire, link } of this.#routesOf(node)) {
      if (!wire.controlPlaneThere) continue;
      if (link.session.at !== "ended")
        throw new BrokenInvariant(
          `node ${node.index} says nothing for 36 s and is not given up`,
        );
      this.stalls++;
    }
    return true;
  }

  /** A piece of work takes longer than any may, while the node says all the time that it goes on. */
  #linger(node: NodeModel): boolean {
    const { job } = node;
    if (job === undefined) return false;
    const route = this.#routeOf(node);
    const inFlight = route?.link.session.inFlight;
    const isAwaited =
      route?.wire.controlPlaneThere === true &&
      inFlight?.parked === false &&
      !inFlight.gone &&
      node.replica.apply?.frame === job.frame &&
      inFlight.seq === job.frame.seq;
    this.strike("slow", node.index);
    for (let round = 0; round < 24; round++) {
      this.tick(27_000);
      for (const each of this.nodes) this.pump(each, each !== node);
    }
    // A Nack that was under way says that the node cannot store it and tries again by itself: nobody waits for it then.
    if (isAwaited && route.link.session.inFlight?.parked !== true) {
      if (route.link.session.at !== "ended")
        throw new BrokenInvariant(
          `node ${node.index} has not answered for 10 min and is not given up`,
        );
      this.stalls++;
    }
    return true;
  }

  #unpin(node: NodeModel): boolean {
    const route = this.#routeOf(node);
    if (route?.wire.controlPlaneThere !== true) return false;
    if (!route.controlPlane.mayUnpin(route.link)) return false;
    this.strike("unpinned", node.index);
    route.controlPlane.unpin(route.link);
    return true;
  }

  #stop(controlPlane: ControlPlaneModel, how: number): boolean {
    if (!controlPlane.up) return false;
    this.strikeAll(how === 2 ? "drain" : "controlPlaneCrash");
    if (how === 2) controlPlane.drain();
    else controlPlane.crash(how === 1);
    return true;
  }

  /** All control planes of a store go, something is done to it, and they come back. */
  #replaceHistory(
    store: StoreModel,
    fault: Fault,
    replace: (store: StoreModel) => void,
  ): boolean {
    this.strikeAll(fault);
    const own = this.controlPlanes.filter((each) => each.store === store);
    for (const each of own) if (each.up) each.crash(true);
    replace(store);
    this.#know(store);
    for (const each of own) each.start();
    return true;
  }

  #know({ head }: StoreModel): void {
    this.#states.set(head.cursor, head);
  }

  #routesOf(node: NodeModel): Route[] {
    const routes = this.#routes[node.index];
    if (routes === undefined) throw new RangeError(`node ${node.index}`);
    return routes;
  }

  #node(at: number): NodeModel {
    const node = this.nodes[at % this.nodes.length];
    if (node === undefined) throw new RangeError(`node ${at}`);
    return node;
  }

  #controlPlane(at: number): ControlPlaneModel {
    const controlPlane = this.controlPlanes[at % this.controlPlanes.length];
    if (controlPlane === undefined) throw new RangeError(`control plane ${at}`);
    return controlPlane;
  }

  #store(at: number): StoreModel {
    const store = this.stores[at % this.stores.length];
    if (store === undefined) throw new RangeError(`store ${at}`);
    return store;
  }
}
