import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { WorkspaceFigures } from "../distributor/distributor-metrics.ts";
import type { Nodes } from "../distributor/nodes.ts";

/** What the Admin RPCs are about. */
export interface AdminContext {
  readonly workspaces: AdminWorkspaces;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The workspaces of a control plane. What is wrong is thrown as ConfigError. */
export interface AdminWorkspaces {
  /** One that is served; throws when there is none of that name, or it cannot be. */
  get(name: string): AdminWorkspace;
  /** All that are there, by name. */
  list(): readonly WorkspaceView[];
  /** One that is there; throws when there is none of that name. */
  describe(name: string): WorkspaceView;
  create(name: string): Promise<WorkspaceView>;
  copy(
    from: string,
    to: string,
    note: { readonly author: string; readonly message: string },
  ): Promise<WorkspaceView>;
  delete(name: string, options: { readonly force: boolean }): Promise<void>;
}

/** How a workspace is: served, or why not. */
export type WorkspaceView =
  | {
      readonly name: string;
      readonly catalog: Pick<Catalog, "head">;
      readonly nodes: { readonly figures: WorkspaceFigures };
    }
  | { readonly name: string; readonly reason: string };

/** A workspace that calls are about. */
interface AdminWorkspace {
  readonly catalog: Catalog;
  readonly nodes: Nodes;
  /** Aborted when the workspace is deleted. */
  readonly deleted: AbortSignal;
}

/** What a call about one workspace is handled with. */
export interface AdminDeps extends Omit<AdminWorkspace, "deleted"> {
  readonly clock: Clock;
  readonly logger: Logger;
}
