import path from "node:path";
import { Registry } from "prom-client";
import { onTestFinished } from "vitest";
import type { KeepHistory } from "../../src/cp/catalog/retention.ts";
import { Reception } from "../../src/cp/distributor/reception.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import type { Store } from "../../src/cp/store/store.ts";
import { Workspaces } from "../../src/cp/workspaces/workspaces.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { GrpcServer } from "../../src/runtime/grpc.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { RecordingLogger } from "./recording-logger.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** All workspaces over a real store, and where their nodes come in. */
export interface OpenedWorkspaces {
  readonly workspaces: Workspaces;
  readonly reception: Reception;
  readonly sync: HostPort;
  readonly metrics: Registry;
  readonly logger: RecordingLogger;
  readonly directory: string;
  readonly close: () => Promise<void>;
}

/** Opens them, in a new directory or one that is there; closed when the test ends. */
export async function openWorkspaces(
  options: {
    readonly directory?: string;
    readonly wrap?: (store: Store) => Store;
    readonly keep?: KeepHistory;
  } = {},
): Promise<OpenedWorkspaces> {
  const directory =
    options.directory ?? path.join(await temporaryDirectory(), "store");
  await using stack = new CloseStack();
  const level = stack.use(await LevelStore.open({ directory }));
  const store = options.wrap?.(level) ?? level;
  const metrics = new Registry();
  const logger = new RecordingLogger();
  const deps = { clock: systemClock, logger };
  const reception = stack.use(
    new Reception({ ...deps, metrics, build: "test" }),
  );
  const workspaces = stack.use(
    await Workspaces.open({
      ...deps,
      store,
      reception,
      ...(options.keep === undefined ? {} : { keep: options.keep }),
    }),
  );
  const server = stack.use(
    await GrpcServer.listen(
      { host: "127.0.0.1", port: 0 },
      [reception.service],
      {
        onFailure: (error) => {
          throw error;
        },
      },
    ),
  );
  stack.defer(() => reception.drain());
  const owned = stack.move();
  onTestFinished(() => owned.close());
  return {
    workspaces,
    reception,
    sync: server.address,
    metrics,
    logger,
    directory,
    close: () => owned.close(),
  };
}
