import type { Registry } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Refusal } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { GrpcClient } from "../../runtime/grpc-client.ts";
import { formatHostPort, type HostPort } from "../../runtime/host-port.ts";
import type { Connector } from "../../runtime/link.ts";
import type { Proxy } from "../../runtime/tunnel.ts";
import { LIMITS } from "../../sync/limits.ts";
import { mayConnect } from "../../sync/replica.ts";
import type { State } from "../replica/last-good.ts";
import { converse } from "./conversation.ts";
import { Dialer, type ControlPlaneStatus } from "./dialer.ts";
import { ReplicaShell, type ReplicaShellOptions } from "./replica-shell.ts";
import { SyncMetrics } from "./sync-metrics.ts";

export interface SyncClientOptions<P> extends ReplicaShellOptions<P> {
  /** At least one. Tried in random order. */
  readonly controlPlanes: readonly HostPort[];
  /** Makes the connections secure. Without one they are in clear text, to this machine only. */
  readonly tls?: Connector | undefined;
  /** The HTTP proxy to go through to every control plane. */
  readonly proxy?: Proxy | undefined;
  readonly metrics: Registry;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** How long one attempt to connect may take. With others left it holds nobody up: they are tried beside it. */
const CONNECT_MS = 30_000;

/**
 * Keeps a data plane in step with its control planes: connects to one of them, asks for the full snapshot, applies what
 * comes, answers, and connects again. Moves messages between the transport and the replica's machine; what to do when is
 * decided there, where to go next in course.ts.
 */
export class SyncClient<P> {
  readonly #options: SyncClientOptions<P>;
  readonly #metrics: SyncMetrics;
  readonly #shell: ReplicaShell<P>;
  readonly #dialer: Dialer<GrpcClient>;
  #controlPlane: string | undefined;
  /** The stream there is, until its last apply has ended. */
  #talking: Promise<void> | undefined;
  /** What is done while there is none. */
  #aside: Promise<void> | undefined;
  #interrupt = new AbortController();

  constructor(options: SyncClientOptions<P>) {
    this.#options = options;
    this.#metrics = new SyncMetrics(options.metrics, () => this.#shell.replica);
    this.#shell = new ReplicaShell(options, this.#metrics);
    this.#dialer = new Dialer({
      ...options,
      loopbackOnly: options.tls === undefined,
      open: (target, signal) => this.#open(target, signal),
    });
  }

  /** What is served now. */
  get serving(): Cursor | undefined {
    return this.#shell.replica.serving;
  }

  /** The control plane that has welcomed this node; undefined when there is none. */
  get controlPlane(): string | undefined {
    return this.#shell.replica.at === "online" ? this.#controlPlane : undefined;
  }

  /** Whether there is a stream, or an apply that has outlived one. */
  get isConnected(): boolean {
    return !mayConnect(this.#shell.replica);
  }

  /** Goes on from a state that came another way. False when anything is served already or a control plane is there. */
  begin(state: State): boolean {
    return this.#shell.begin(state);
  }

  /** Goes on from another state than the one that was served, or from none. Only aside. */
  restart(state: State | undefined, refusals: readonly Refusal[]): void {
    this.#shell.restart(state, refusals);
  }

  /** All control planes that this node may connect to. */
  get controlPlanes(): readonly ControlPlaneStatus[] {
    return this.#dialer.status();
  }

  /** What this node has refused. */
  get refusals(): readonly Refusal[] {
    return this.#shell.replica.refusals;
  }

  /** Runs until the signal is aborted. An apply that is being made durable then is finished first. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const dialled = await this.#dialer
        .connect(signal)
        .catch((error: unknown) => {
          if (!signal.aborted) throw error;
        });
      if (dialled === undefined) break;
      const { address, connection } = dialled;
      using client = connection;
      this.#controlPlane = address;
      // No stream begins while something is done that needs that there is none.
      while (this.#aside !== undefined) await this.#aside;
      const talking = this.#converse(address, client, signal);
      this.#talking = talking;
      await talking;
      this.#talking = undefined;
    }
    await this.#shell.settled();
  }

  /**
   * Does something while there is no stream and no apply: ends what there is, and lets nothing new begin until it is done.
   * Never rejects when the work does not.
   */
  async aside(work: () => Promise<void>): Promise<void> {
    while (this.#aside !== undefined) await this.#aside;
    const done = (async () => {
      this.#interrupt.abort();
      await this.#talking;
      await work();
    })();
    this.#aside = done.catch(() => undefined);
    try {
      await done;
    } finally {
      this.#aside = undefined;
      this.#interrupt = new AbortController();
    }
  }

  async #converse(
    address: string,
    client: GrpcClient,
    signal: AbortSignal,
  ): Promise<void> {
    const { leg, ...wishes } = await converse(
      {
        ...this.#options,
        address,
        client,
        shell: this.#shell,
        metrics: this.#metrics,
      },
      AbortSignal.any([signal, this.#interrupt.signal]),
    );
    if (isAborted(signal)) return;
    if (leg.servedMs !== undefined) this.#metrics.lost();
    this.#dialer.ended(address, leg, wishes);
    // A new stream would ask for a state that is being replaced.
    await this.#shell.settled();
  }

  async #open(target: HostPort, signal: AbortSignal): Promise<GrpcClient> {
    const { tls, proxy } = this.#options;
    const client = new GrpcClient(target, {
      tls,
      proxy,
      maxReceiveBytes: LIMITS.messageBytes,
    });
    try {
      await client.connect(CONNECT_MS, signal);
      return client;
    } catch (error) {
      client.close();
      throw new Error(`cannot connect to ${formatHostPort(target)}`, {
        cause: error,
      });
    }
  }
}

/** For the compiler, which takes a signal that was not aborted to stay so. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
