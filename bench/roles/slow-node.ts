import { setTimeout as sleep } from "node:timers/promises";
import {
  SyncService,
  type ConnectResponse,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { KINDS } from "../../src/model/kinds.ts";
import { GrpcClient } from "../../src/runtime/grpc-client.ts";
import { openWatcher } from "../peers/etcd-client.ts";
import type { Calls } from "../support/child.ts";
import { clusterTls, type KeyPair } from "../support/tls.ts";
import { WATCHED, type Target } from "./fleet-nodes.ts";

export interface SlowNode {
  /** Connects a node that asks for everything and then reads nothing; when it is cut it comes again. */
  readonly open: (target: Target) => Promise<void>;
  /** Opens a watcher of etcd that reads nothing once it is there. */
  readonly openWatcher: (port: number, pair: KeyPair) => void;
  /** How often it has connected. */
  readonly connections: () => number;
  readonly close: () => void;
}

const AGAIN_MS = 1_000;
const CONNECT_MS = 10_000;

/** Somebody who does not read what was asked for. */
export function slowNode(): SlowNode & Calls {
  const stop = new AbortController();
  let connections = 0;
  let closeWatcher = (): void => undefined;

  async function connectOnce(client: GrpcClient): Promise<void> {
    await client.connect(CONNECT_MS, stop.signal);
    const call = client.bidi(SyncService.method.connect, stop.signal);
    connections++;
    const ended = new Promise<void>((resolve) => {
      call.once("error", () => {
        resolve();
      });
      call.once("status", () => {
        resolve();
      });
    });
    call.on("data", ({ message }: ConnectResponse) => {
      if (message.case !== "manifest") return;
      const { seq, buckets } = message.value;
      call.write({
        message: {
          case: "bucketRequest",
          value: {
            seq,
            buckets: buckets.map(({ index, hash }) => ({ index, hash })),
          },
        },
      });
      call.pause();
    });
    call.write({
      message: {
        case: "hello",
        value: {
          node: {
            id: "slow",
            boot: crypto.randomUUID(),
            build: "bench",
            hostname: "slow",
          },
          workspace: "default",
          features: KINDS.map((kind) => ({ name: `kind/${kind}`, version: 1 })),
        },
      },
    });
    call.write({ message: { case: "snapshotRequest", value: {} } });
    await ended;
  }

  async function run({ port, pair }: Target): Promise<void> {
    const tls = pair === undefined ? undefined : await clusterTls(pair);
    while (!stop.signal.aborted) {
      using client = new GrpcClient({ host: "127.0.0.1", port }, { tls });
      await connectOnce(client).catch(() => undefined);
      await sleep(AGAIN_MS);
    }
  }

  return {
    open: async (target) => {
      void run(target);
      while (connections === 0) await sleep(10);
    },
    openWatcher: (port, pair) => {
      connections++;
      closeWatcher = openWatcher(
        port,
        pair,
        WATCHED,
        0,
        () => undefined,
        true,
      ).close;
    },
    connections: () => connections,
    close: () => {
      stop.abort();
      closeWatcher();
    },
  };
}
