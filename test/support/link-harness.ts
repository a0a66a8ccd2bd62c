import { create } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import { Catalog } from "../../src/cp/catalog/catalog.ts";
import { Distributor } from "../../src/cp/distributor/distributor.ts";
import { Reception } from "../../src/cp/distributor/reception.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { ReplicaStore } from "../../src/dp/replica/replica-store.ts";
import type { State } from "../../src/dp/replica/last-good.ts";
import {
  Applier,
  type Activation,
  type Persistence,
} from "../../src/dp/sync/applier.ts";
import { SyncClient } from "../../src/dp/sync/sync-client.ts";
import { systemClock, type Clock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { GrpcServer } from "../../src/runtime/grpc.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { silentLogger, type Logger } from "../../src/runtime/logger.ts";
import type { TempDir } from "./temp-dir.ts";

/** Features that this repository's own data plane has, and all a test needs. */
export const FEATURES = [
  "service",
  "route",
  "upstream",
  "target",
  "consumer",
  "plugin",
].map((kind) => ({ name: `kind/${kind}`, version: 1 }));

/** A service that differs from others by its number. */
export function service(name: string, port = 80): Resource {
  return create(ResourceSchema, {
    kind: {
      case: "service",
      value: { name, host: "127.0.0.1", port },
    },
  });
}

/** A control plane without its Admin listener, on a real store and a real port. */
export class TestControlPlane implements AsyncDisposable {
  readonly store: LevelStore;
  readonly catalog: Catalog;
  readonly nodes: Distributor;
  readonly reception: Reception;
  readonly address: HostPort;
  readonly metrics: Registry;
  readonly #stack: CloseStack;

  private constructor(
    store: LevelStore,
    catalog: Catalog,
    nodes: Distributor,
    reception: Reception,
    address: HostPort,
    metrics: Registry,
    stack: CloseStack,
  ) {
    this.store = store;
    this.catalog = catalog;
    this.nodes = nodes;
    this.reception = reception;
    this.address = address;
    this.metrics = metrics;
    this.#stack = stack;
  }

  static async start(
    dir: TempDir,
    port = 0,
    options: {
      readonly clock?: Clock;
      readonly alternatives?: readonly string[];
    } = {},
  ): Promise<TestControlPlane> {
    const { clock = systemClock, alternatives = [] } = options;
    await using stack = new CloseStack();
    const store = stack.use(
      await LevelStore.open({ directory: dir.join("cp") }),
    );
    const catalog = stack.use(
      await Catalog.open({
        workspace: "default",
        store,
        clock,
        logger: silentLogger,
      }),
    );
    const metrics = new Registry();
    const reception = stack.use(
      new Reception({
        clock,
        logger: silentLogger,
        metrics,
        build: "test",
        alternatives,
      }),
    );
    const nodes = stack.use(
      await Distributor.open({
        catalog,
        store,
        clock,
        logger: silentLogger,
        reception,
      }),
    );
    reception.open("default", nodes);
    const server = stack.use(
      await GrpcServer.listen(
        { host: "127.0.0.1", port },
        [reception.service],
        {
          onFailure: (error) => {
            throw error;
          },
        },
      ),
    );
    stack.defer(() => reception.drain());
    return new TestControlPlane(
      store,
      catalog,
      nodes,
      reception,
      server.address,
      metrics,
      stack.move(),
    );
  }

  async put(...resources: readonly Resource[]): Promise<bigint> {
    const result = await this.catalog.transact(
      resources.map((resource) => ({ type: "put" as const, resource })),
    );
    return result.revision;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.close();
  }
}

/** What a test's data plane does instead of serving: it keeps what it was given, and refuses what it is told to. */
export class TestActivation implements Activation<State> {
  active: State | undefined;
  readonly served: State[] = [];
  /** Says why a state is refused; undefined: it is not. */
  judge: (state: State) => string | undefined = () => undefined;
  /** Resolves before each prepare goes on. */
  gate: Promise<void> = Promise.resolve();

  async prepare(state: State): ReturnType<Activation<State>["prepare"]> {
    await this.gate;
    const reason = this.judge(state);
    return reason === undefined
      ? { ok: true, prepared: state }
      : {
          ok: false,
          class: "INVALID",
          violations: [{ key: "service/x", field: "host", reason }],
        };
  }

  commit(state: State): void {
    this.active = state;
    this.served.push(state);
  }
}

/** A data plane without gateway, on a real replica and a real stream. */
export class TestNode implements AsyncDisposable {
  readonly client: SyncClient<State>;
  readonly activation: TestActivation;
  readonly metrics: Registry;
  readonly replica: ReplicaStore;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  private constructor(
    client: SyncClient<State>,
    activation: TestActivation,
    metrics: Registry,
    replica: ReplicaStore,
  ) {
    this.client = client;
    this.activation = activation;
    this.metrics = metrics;
    this.replica = replica;
    this.#running = client.run(this.#stop.signal);
  }

  static async start(
    dir: TempDir,
    controlPlane: HostPort | readonly HostPort[],
    options: {
      readonly id?: string;
      readonly workspace?: string;
      readonly features?: readonly { name: string; version: number }[];
      readonly activation?: TestActivation;
      /** Of the link only; the replica has the machine's. */
      readonly clock?: Clock;
      readonly logger?: Logger;
      /** Default: always 0, without jitter and as soon as may be: tests wait for what happens, not for how long it takes. */
      readonly random?: () => number;
      readonly onConfirmed?: (cursor: Cursor) => void;
      /** What makes states durable, from what does. Default: that itself. */
      readonly persistence?: (replica: ReplicaStore) => Persistence;
    } = {},
  ): Promise<TestNode> {
    const id = options.id ?? "node";
    const workspace = options.workspace ?? "default";
    const clock = options.clock ?? systemClock;
    const replica = await ReplicaStore.open({
      dataDir: dir.join(`dp-${id}`),
      workspace,
      clock: systemClock,
      logger: silentLogger,
    });
    const activation = options.activation ?? new TestActivation();
    if (replica.loaded !== undefined) activation.active = replica.loaded;
    const metrics = new Registry();
    const client = new SyncClient<State>({
      controlPlanes: "host" in controlPlane ? [controlPlane] : controlPlane,
      workspace,
      node: {
        id,
        boot: crypto.randomUUID(),
        build: "test",
        hostname: `host-${id}`,
        labels: { zone: "a" },
      },
      features: options.features ?? FEATURES,
      applier: new Applier({
        workspace,
        clock,
        activation,
        persistence: options.persistence?.(replica) ?? replica,
        served: replica.loaded,
      }),
      serving: replica.loaded?.cursor,
      refusals: replica.refusals,
      takeCounters: () => [],
      ...(options.onConfirmed === undefined
        ? {}
        : { onConfirmed: options.onConfirmed }),
      clock,
      logger: options.logger ?? silentLogger,
      metrics,
      random: options.random ?? (() => 0),
    });
    return new TestNode(client, activation, metrics, replica);
  }

  /** How many messages of each type came and went: "in manifest", "out ack" … */
  async messages(): Promise<Record<string, number>> {
    const metric = this.metrics.getSingleMetric(
      "holdfast_dp_sync_messages_total",
    );
    const { values } = (await metric?.get()) ?? { values: [] };
    return Object.fromEntries(
      values.map(({ labels, value }) => [
        `${String(labels["direction"])} ${String(labels["type"])}`,
        value,
      ]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.replica[Symbol.asyncDispose]();
  }
}
