import { Registry } from "prom-client";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { Catalog } from "../../src/cp/catalog/catalog.ts";
import { Distributor } from "../../src/cp/distributor/distributor.ts";
import { Reception } from "../../src/cp/distributor/reception.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { GrpcServer } from "../../src/runtime/grpc.ts";
import type { Gatekeeper } from "../../src/runtime/connection-listener.ts";
import { LIMITS } from "../../src/sync/limits.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { Acks } from "./acks.ts";
import { clusterTls, type KeyPair } from "./tls.ts";

/** How long the parts took to open, in milliseconds. */
export interface OpenTimes {
  readonly storeAndCatalogMs: number;
  readonly distributorMs: number;
}

/** A control plane without its Admin listener: catalog, LevelDB, distributor and sync listener. */
export class BenchControlPlane implements AsyncDisposable {
  readonly catalog: Catalog;
  readonly address: HostPort;
  /** Where it is spoken to in clear text, to look at what is said. */
  readonly plainAddress: HostPort;
  readonly openTimes: OpenTimes;
  /** Who has acknowledged what. */
  readonly acks: Acks;
  readonly #stack: CloseStack;

  private constructor(
    catalog: Catalog,
    address: HostPort,
    plainAddress: HostPort,
    openTimes: OpenTimes,
    acks: Acks,
    stack: CloseStack,
  ) {
    this.catalog = catalog;
    this.address = address;
    this.plainAddress = plainAddress;
    this.openTimes = openTimes;
    this.acks = acks;
    this.#stack = stack;
  }

  /** Without a key pair it is spoken to in clear text, on the one port. */
  static async start(
    directory: string,
    pair?: KeyPair,
  ): Promise<BenchControlPlane> {
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
    const reception = stack.use(
      new Reception({
        clock: systemClock,
        logger: acks.logger,
        metrics: new Registry(),
        build: "bench",
      }),
    );
    const distributor = stack.use(
      await Distributor.open({
        catalog,
        store,
        clock: systemClock,
        logger: acks.logger,
        reception,
      }),
    );
    reception.open("default", distributor);
    const openTimes = {
      storeAndCatalogMs: openedMs - startedMs,
      distributorMs: performance.now() - openedMs,
    };
    const listen = async (tls?: Gatekeeper): Promise<HostPort> => {
      const server = stack.use(
        await GrpcServer.listen(
          { host: "127.0.0.1", port: 0 },
          [reception.service],
          {
            onFailure: (error) => {
              throw error;
            },
            maxReceiveBytes: LIMITS.nodeMessageBytes,
            tls,
            admission: LIMITS.greetings,
          },
        ),
      );
      return server.address;
    };
    const plainAddress = await listen();
    return new BenchControlPlane(
      catalog,
      pair === undefined
        ? plainAddress
        : await listen(stack.use(await clusterTls(pair))),
      plainAddress,
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
  async acked(revision: bigint, nodes: number): Promise<bigint> {
    const times = await this.acks.reached(revision, nodes);
    return BigInt(times.at(-1) ?? 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.close();
  }
}
