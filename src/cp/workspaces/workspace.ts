import type { Clock } from "../../runtime/clock.ts";
import { CloseStack } from "../../runtime/close-stack.ts";
import type { Logger } from "../../runtime/logger.ts";
import { Catalog } from "../catalog/catalog.ts";
import { Expiry } from "../catalog/expiry.ts";
import {
  KEPT_HISTORY,
  Retention,
  type KeepHistory,
} from "../catalog/retention.ts";
import { Distributor } from "../distributor/distributor.ts";
import type { Reception } from "../distributor/reception.ts";
import { SnapshotPublisher, type Publishing } from "../snapshot-publisher.ts";
import type { LoadedWorkspace, Store } from "../store/store.ts";

export interface WorkspaceOptions {
  readonly store: Store;
  /** How much of the history is kept. Default: the newest 10,000 revisions. */
  readonly keep?: KeepHistory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reception: Reception;
  /** Where the newest state is kept as a signed snapshot file. Absent: nowhere. */
  readonly publishing?: Publishing;
}

/** One workspace that is served: its configuration, and its nodes. */
export class Workspace implements AsyncDisposable {
  readonly name: string;
  readonly catalog: Catalog;
  readonly nodes: Distributor;
  readonly #publisher: SnapshotPublisher | undefined;
  readonly #deleted = new AbortController();
  readonly #stack: CloseStack;

  private constructor(
    catalog: Catalog,
    nodes: Distributor,
    publisher: SnapshotPublisher | undefined,
    stack: CloseStack,
  ) {
    this.name = catalog.workspace;
    this.catalog = catalog;
    this.nodes = nodes;
    this.#publisher = publisher;
    this.#stack = stack;
  }

  /**
   * Reads a workspace, proves it, and begins to serve it.
   *
   * @param known What was just written: it is not read then.
   * @throws ConfigError when it cannot be read or its history contradicts itself.
   */
  static async open(
    name: string,
    {
      store,
      clock,
      logger,
      reception,
      publishing,
      keep = KEPT_HISTORY,
    }: WorkspaceOptions,
    known?: LoadedWorkspace,
  ): Promise<Workspace> {
    await using stack = new CloseStack();
    // The catalog asks the distributor which nodes lack something, and the distributor follows the catalog.
    const late: { distributor?: Distributor } = {};
    const catalog = stack.use(
      await Catalog.open({
        workspace: name,
        ...(known === undefined ? {} : { loaded: known }),
        store,
        clock,
        logger,
        nodeWarnings: {
          lacking: (features) =>
            late.distributor?.unsupportedBy(name, features) ?? [],
          refusingWithout: (changed) =>
            late.distributor?.refusingWithout(changed) ?? [],
        },
      }),
    );
    const distributor = stack.use(
      await Distributor.open({ catalog, store, clock, logger, reception }),
    );
    late.distributor = distributor;
    // After those who follow the catalog: a credential may be over at once.
    stack.use(await Expiry.start({ catalog, store, clock, logger }));
    // After the distributor, which has read by then what its nodes are kept at.
    const heldFrom = (): bigint | undefined => distributor.heldFrom;
    stack.use(
      Retention.start({ catalog, store, clock, logger, keep, heldFrom }),
    );
    const publisher =
      publishing === undefined
        ? undefined
        : stack.use(
            new SnapshotPublisher({ publishing, catalog, clock, logger }),
          );
    reception.open(name, distributor);
    return new Workspace(catalog, distributor, publisher, stack.move());
  }

  /** Aborted when the workspace is deleted: what is streamed of it ends. */
  get deleted(): AbortSignal {
    return this.#deleted.signal;
  }

  /** Ends what is streamed of it, sends its nodes away, and closes it. It is gone from the store already. */
  async leave(reception: Reception): Promise<void> {
    this.#deleted.abort();
    // At once: from now on nobody else comes in.
    const dismissed = reception.close(this.name);
    await this.#publisher?.forget();
    await dismissed;
    await this[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.close();
  }
}
