import type { Slices } from "../../model/slices.ts";
import type { TransactOptions, WarningInfo } from "./operation.ts";
import type { Planner } from "./planner.ts";
import type { Head } from "./state.ts";
import type { Layer } from "./view.ts";

/** What a job is planned on. */
export interface JobBase {
  /** The durable head. */
  readonly durable: Head;
  /** What the jobs before it in the same batch have changed since. */
  readonly pending: Layer;
}

/** A transaction that waits for its turn. What it does is decided when that comes. */
export interface Job {
  readonly options: TransactOptions;
  /** Hands its operations to a planner. */
  readonly plan: (
    planner: Planner,
    base: JobBase,
  ) => Slices<void> | Promise<Slices<void>>;
  /** Known beforehand. */
  readonly warnings?: readonly WarningInfo[];
  /** The root that it must lead to. Default: whatever comes of it. */
  readonly expectedRoot?: () => string | undefined;
}
