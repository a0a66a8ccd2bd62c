import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Nodes } from "../distributor/nodes.ts";

/** What the Admin RPCs are about. */
export interface AdminDeps {
  readonly catalog: Catalog;
  readonly nodes: Nodes;
  readonly clock: Clock;
  readonly logger: Logger;
}
