import type { JsonValue } from "@bufbuild/protobuf";
import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import type { Clock } from "../runtime/clock.ts";
import type { StatusSource } from "../runtime/status.ts";
import { Workspace } from "./workspaces/workspace.ts";
import type { Workspaces } from "./workspaces/workspaces.ts";

/** What a control plane says about itself at /status: of each workspace. */
export function controlPlaneStatus(of: {
  readonly workspaces: Workspaces;
  readonly clock: Clock;
  readonly build: string;
}): StatusSource {
  const startedMs = of.clock.monotonic();
  // Without names and reasons: anybody may look at that page.
  const unavailable = (): string[] => {
    const count = of.workspaces
      .list()
      .filter((one) => !(one instanceof Workspace)).length;
    return count === 0
      ? []
      : [
          `${count} ${count === 1 ? "workspace" : "workspaces"} cannot be served: /status says which and why`,
        ];
  };
  const each = (describe: (of: Workspace) => Record<string, JsonValue>) => ({
    workspaces: of.workspaces
      .list()
      .map((one): JsonValue =>
        one instanceof Workspace
          ? { workspace: one.name, ...describe(one) }
          : { workspace: one.name, unavailable: one.reason },
      ),
  });
  return {
    status: () => ({
      role: "cp",
      build: of.build,
      uptime_seconds: seconds(of.clock.monotonic() - startedMs),
      ...each(({ catalog: { head }, nodes }) => {
        const { figures } = nodes;
        return {
          head: cursorJson(head.cursor),
          entries: head.snapshot.entryCount,
          nodes: {
            known: figures.nodes.known,
            connected: figures.sessions,
            in_sync: figures.nodes.inSync,
            // Counts only, however many there are: the nodes themselves are listed by the Admin RPC, in pages.
            conditions: Object.fromEntries(figures.nodes.conditions),
          },
        };
      }),
    }),
    // It listens only once its store is open and proved, but for workspaces whose trouble is their own.
    notReady: () => undefined,
    readyBut: unavailable,
    config: () =>
      each(({ catalog: { head } }) => ({
        cursor: cursorJson(head.cursor),
        entries: head.snapshot.entryCount,
        bytes: head.snapshot.byteCount,
        source: "store",
      })),
  };
}

function cursorJson({ epoch, revision, root }: Cursor) {
  return { epoch, revision: String(revision), root };
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}
