import type { Clock } from "../runtime/clock.ts";
import type { StatusSource } from "../runtime/status.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { Nodes } from "./distributor/nodes.ts";

/** What a control plane says about itself at /status. */
export function controlPlaneStatus(of: {
  readonly catalog: Catalog;
  readonly nodes: Nodes;
  readonly clock: Clock;
  readonly build: string;
}): StatusSource {
  const startedMs = of.clock.monotonic();
  const { catalog } = of;
  return {
    status() {
      const nodes = of.nodes.list(catalog.workspace);
      const { cursor } = catalog.head;
      return {
        role: "cp",
        build: of.build,
        uptime_seconds: seconds(of.clock.monotonic() - startedMs),
        workspace: catalog.workspace,
        head: {
          epoch: cursor.epoch,
          revision: String(cursor.revision),
          root: cursor.root,
        },
        entries: catalog.head.snapshot.entryCount,
        nodes: {
          known: nodes.length,
          connected: nodes.filter((node) => node.connected).length,
          in_sync: nodes.filter((node) => node.inSync).length,
        },
      };
    },
    // It listens only once its store is open and proved.
    notReady: () => undefined,
    config() {
      const { cursor, snapshot } = catalog.head;
      return {
        cursor: {
          epoch: cursor.epoch,
          revision: String(cursor.revision),
          root: cursor.root,
        },
        entries: snapshot.entryCount,
        bytes: snapshot.byteCount,
        source: "store",
      };
    },
  };
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}
