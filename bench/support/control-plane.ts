import { Registry } from "prom-client";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { Catalog } from "../../src/cp/catalog/catalog.ts";
import { Distributor } from "../../src/cp/distributor/distributor.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { GrpcServer } from "../../src/runtime/grpc.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { silentLogger, type Logger } from "../../src/runtime/logger.ts";

/** How long the parts took to open, in milliseconds. */
export interface OpenTimes {
  readonly storeAndCatalogMs: number;
  readonly distributorMs: number;
}

/** A control plane without its Admin listener: catalog, LevelDB, distributor and sync listener. */
export class BenchControlPlane implements AsyncDisposable {
  readonly catalog: Catalog;
  readonly address: HostPort;
  readonly openTimes: OpenTimes;
  readonly #acks: Acks;
  readonly #stack: CloseStack;

  private constructor(
    catalog: Catalog,
    address: HostPort,
    openTimes: OpenTimes,
    acks: Acks,
    stack: CloseStack,
  ) {
    this.catalog = catalog;
    this.address = address;
    this.openTimes = openTimes;
    this.#acks = acks;
    this.#stack = stack;
  }

  static async start(directory: string): Promise<BenchControlPlane> {
    await using stack = new CloseStack();
    const startedMs = performance.now();
    const store = stack.use(await LevelStore.open({ directory }));
    const catalog = stack.use(
      await Catalog.open({
        workspace: "default",
        store,
        clock: systemClock,
        logger: silentLogger,
      }),
    );
    const openedMs = performance.now();
    const acks = new Acks();
    const distributor = stack.use(
      await Distributor.open({
        catalog,
        store,
        clock: systemClock,
        logger: acks.logger,
        metrics: new Registry(),
        build: "bench",
      }),
    );
    const openTimes = {
      storeAndCatalogMs: openedMs - startedMs,
      distributorMs: performance.now() - openedMs,
    };
    const server = stack.use(
      await GrpcServer.listen(
        { host: "127.0.0.1", port: 0 },
        [distributor.service],
        {
          onFailure: (error) => {
            throw error;
          },
        },
      ),
    );
    return new BenchControlPlane(
      catalog,
      server.address,
      openTimes,
      acks,
      stack.move(),
    );
  }

  /** Puts resources as one transaction and returns the revision. */
  async put(resources: readonly Resource[]): Promise<bigint> {
    const { revision } = await this.catalog.transact(
      resources.map((resource) => ({ type: "put" as const, resource })),
    );
    return revision;
  }

  /** Resolves with the time, in nanoseconds, at which so many nodes had acknowledged a revision or a later one. */
  acked(revision: bigint, nodes: number): Promise<bigint> {
    return this.#acks.reached(revision, nodes);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.close();
  }
}

/** No wait for acknowledgements takes longer. */
const ACK_MS = 120_000;

/** Hears of acknowledgements where the control plane logs them, which costs it nothing more. */
class Acks {
  readonly #revisions = new Map<string, bigint>();
  #awaited:
    | {
        readonly revision: bigint;
        readonly nodes: number;
        readonly resolve: (atNs: bigint) => void;
      }
    | undefined;

  readonly logger: Logger = {
    ...silentLogger,
    info: (event, fields) => {
      if (event === "node.acked")
        this.#heard(String(fields?.["node"]), fields?.["revision"] as bigint);
    },
    error: (event, fields) => {
      throw new Error(event, { cause: fields?.["err"] });
    },
    child: () => this.logger,
  };

  reached(revision: bigint, nodes: number): Promise<bigint> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new Error(
            `${this.#count(revision)} of ${nodes} nodes acknowledged revision ${revision} within ${ACK_MS} ms`,
          ),
        );
      }, ACK_MS);
      this.#awaited = {
        revision,
        nodes,
        resolve: (atNs) => {
          clearTimeout(timer);
          resolve(atNs);
        },
      };
      this.#check();
    });
  }

  #heard(node: string, revision: bigint): void {
    this.#revisions.set(node, revision);
    this.#check();
  }

  #check(): void {
    const awaited = this.#awaited;
    if (
      awaited === undefined ||
      this.#revisions.size < awaited.nodes ||
      this.#count(awaited.revision) < awaited.nodes
    )
      return;
    this.#awaited = undefined;
    awaited.resolve(process.hrtime.bigint());
  }

  #count(revision: bigint): number {
    let count = 0;
    for (const reached of this.#revisions.values())
      if (reached >= revision) count++;
    return count;
  }
}
