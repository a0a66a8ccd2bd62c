import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Nodes } from "../distributor/nodes.ts";

/** What the Admin RPCs are about. */
export interface AdminContext {
  readonly workspaces: AdminWorkspaces;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The workspaces, as far as calls about what is in one need them. */
export interface AdminWorkspaces {
  /** @throws ConfigError when there is none of that name, or it cannot be served. */
  get(name: string): AdminWorkspace;
}

/** A workspace that calls are about. */
export interface AdminWorkspace {
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
