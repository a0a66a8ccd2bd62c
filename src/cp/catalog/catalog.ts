import { randomBytes } from "node:crypto";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { ParsedDeclarative } from "../../model/declarative/parsed.ts";
import type { Kind } from "../../model/kinds.ts";
import { warmUpRules } from "../../model/rules.ts";
import type { Slices } from "../../model/slices.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { LoadedWorkspace, RevisionRecord, Store } from "../store/store.ts";
import { applyJob, applyOperations, refuseProblems } from "./apply.ts";
import { noNodes, type NodeWarnings } from "./node-warnings.ts";
import { Past } from "./epochs.ts";
import { NewIds } from "./new-id.ts";
import type {
  ApplyOptions,
  Operation,
  TransactOptions,
  TransactResult,
} from "./operation.ts";
import { hasClearPasswords, withHashedPasswords } from "./passwords.ts";
import {
  exportResources,
  getResource,
  listResources,
  type ById,
  type ExportPart,
  type GetResult,
  type ListOptions,
  type ListResult,
  type ReadContext,
} from "./reading.ts";
import { stateAt, type PastState } from "./past-state.ts";
import {
  cursorAt,
  diffRevisions,
  getRevision,
  listRevisions,
  planRollback,
  type DiffResult,
  type HistoryPage,
  type RevisionDetail,
} from "./revisions.ts";
import type { Head } from "./state.ts";
import type { CommittedView, View } from "./view.ts";
import { Writer, type CommitListener } from "./writer.ts";

/** Random bytes of a secret that is made up: 32 characters of text. */
const SECRET_BYTES = 24;

export interface CatalogOptions {
  readonly workspace: string;
  readonly store: Store;
  /** What the store has. Default: it is read and proved. */
  readonly loaded?: LoadedWorkspace;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Random bytes, for ids, secrets and salts. Default: the system's. */
  readonly random?: (bytes: number) => Uint8Array;
  /** What connected nodes lack, for warnings. Default: nothing. */
  readonly nodeWarnings?: NodeWarnings;
  /** Hears how many entries were handled before each turn of the event loop. Default: nobody does. */
  readonly onYield?: (entries: number) => void;
}

/** The configuration of one workspace: its rules, its changes and its history. */
export class Catalog implements AsyncDisposable {
  readonly workspace: string;
  readonly #writer: Writer;
  readonly #context: ReadContext;
  readonly #past: Past;
  readonly #random: (bytes: number) => Uint8Array;

  private constructor(
    workspace: string,
    writer: Writer,
    context: ReadContext,
    random: (bytes: number) => Uint8Array,
  ) {
    this.workspace = workspace;
    this.#writer = writer;
    this.#context = context;
    this.#past = new Past(context.store);
    this.#random = random;
  }

  /** Loads a workspace from a store, which stays open when the catalog is closed. */
  static async open(options: CatalogOptions): Promise<Catalog> {
    const { workspace, store, clock, logger, onYield } = options;
    const random = options.random ?? ((bytes) => randomBytes(bytes));
    const drive = <T>(work: Slices<T>): Promise<T> =>
      driveSlices(work, onYield === undefined ? { clock } : { clock, onYield });
    const ids = new NewIds(() => clock.now(), random);
    const head = options.loaded ?? (await store.load(workspace));
    warmUpRules();
    const writer = await Writer.open(
      {
        store,
        clock,
        logger,
        drive,
        nodeWarnings: options.nodeWarnings ?? noNodes,
        planner: {
          newId: () => ids.next(),
          newSecret: () =>
            Buffer.from(random(SECRET_BYTES)).toString("base64url"),
        },
      },
      head,
    );
    logger.info("catalog.opened", {
      workspace,
      revision: head.cursor.revision.toString(),
      epoch: head.cursor.epoch,
      entries: head.snapshot.entryCount,
    });
    return new Catalog(workspace, writer, { store, logger, drive }, random);
  }

  /** The newest durable state. */
  get head(): Head {
    return this.#writer.state.head;
  }

  /** The indexes of the durable state, as they are between two batches. */
  get indexes(): CommittedView {
    return this.#writer.committed;
  }

  /**
   * Does operations as one revision, or none of them. They may be decided when their turn comes, from the state that
   * they will be done on. Turns come in the order of the calls, except that clear passwords are hashed before, and that
   * writes do not wait for dry runs.
   *
   * @throws ConfigError with everything that is wrong.
   */
  async transact(
    operations: readonly Operation[] | ((view: View) => Iterable<Operation>),
    options: TransactOptions = {},
  ): Promise<TransactResult> {
    if (typeof operations === "function")
      return this.#writer.submit({
        options,
        plan: (planner) => planner.run(operations(planner.view)),
      });
    const ready = hasClearPasswords(operations)
      ? await this.#hashPasswords(operations)
      : operations;
    return this.#writer.submit({
      options,
      plan: (planner) => planner.run(ready),
    });
  }

  /** Brings declarative files in as one revision, or nothing of them. */
  async apply(
    parsed: ParsedDeclarative,
    options: ApplyOptions,
  ): Promise<TransactResult> {
    if (options.dryRun !== true) refuseProblems(parsed);
    const operations = applyOperations(parsed);
    const ready = hasClearPasswords(operations)
      ? await this.#hashPasswords(operations)
      : operations;
    return this.#writer.submit(applyJob(parsed, ready, options));
  }

  /** Makes a new revision with the content of an old one. */
  rollback(
    revision: bigint,
    options: TransactOptions = {},
  ): Promise<TransactResult> {
    let root: string | undefined;
    return this.#writer.submit({
      options,
      plan: async (planner, base) => {
        root = (await cursorAt(this.#context, base.durable, revision)).root;
        return planRollback(this.#context, planner, base, revision);
      },
      expectedRoot: () => root,
    });
  }

  /**
   * Gives the history a new epoch, which replaces the present one: content and revision stay. Those who follow the
   * catalog hear of it as of a commit without records. With an epoch, that is the one to be replaced; when it was
   * replaced already, nothing is done.
   */
  adopt(epoch?: string): Promise<Head> {
    return this.#writer.adopt(epoch);
  }

  /**
   * Whether this history went through exactly this state, under its epoch or one that it replaced. A revision that is
   * not kept any more counts as such.
   */
  async knows(cursor: Cursor): Promise<boolean> {
    return (
      this.retained(cursor) !== undefined || this.#past.knows(this.head, cursor)
    );
  }

  /** Whether this history was at a revision under an epoch, its own or one that it replaced. */
  passed(epoch: string, revision: bigint): Promise<boolean> {
    return this.#past.passed(this.head, epoch, revision);
  }

  /** Reads one resource, by id or else by name. */
  get(kind: Kind, by: ById): Promise<GetResult> {
    return getResource(this.#context, this.#writer.state, kind, by);
  }

  /** Reads a page of the resources of a kind. */
  list(options: ListOptions): Promise<ListResult> {
    return listResources(this.#context, this.#writer.state, options);
  }

  /** Reads everything, as of the head of now. */
  export(): AsyncIterable<ExportPart> {
    return exportResources(this.#context, this.#writer.state);
  }

  /** Reads a page of the history, newest first. */
  history(
    options: { readonly pageSize?: number; readonly pageToken?: string } = {},
  ): Promise<HistoryPage> {
    return listRevisions(this.#context, this.head, options);
  }

  /** Reads one revision with what each resource was before and after it. */
  revision(revision: bigint): Promise<RevisionDetail> {
    return getRevision(this.#context, this.head, revision);
  }

  /** Compares two revisions. Without the second: with the head. */
  diff(from: bigint, to?: bigint): Promise<DiffResult> {
    const { head } = this;
    return diffRevisions(this.#context, head, from, to ?? head.cursor.revision);
  }

  /**
   * The state that a revision led to: one of the last 64, or rebuilt from the history, starting from a later state.
   *
   * @throws ConfigError when the history does not have it, or no more.
   */
  async stateAt(revision: bigint, from?: PastState): Promise<PastState> {
    const { head } = this;
    const cursor = await cursorAt(this.#context, head, revision);
    const snapshot = this.retained(cursor);
    return snapshot === undefined
      ? stateAt(this.#context, head, revision, from)
      : { cursor, snapshot };
  }

  /** The record of a revision that the head has come to; undefined when it is not kept any more. */
  record(revision: bigint): Promise<RevisionRecord | undefined> {
    return revision > this.head.cursor.revision
      ? Promise.resolve(undefined)
      : this.#context.store.record(this.workspace, revision);
  }

  /** The oldest revision whose record is kept; the head's when there is none. */
  async oldest(): Promise<bigint> {
    const oldest = await this.#context.store.oldest(this.workspace);
    return oldest ?? this.head.cursor.revision;
  }

  /** The state at a cursor, if it is one of the last 64. */
  retained(cursor: Cursor): Snapshot | undefined {
    return this.#writer.retained(cursor)?.snapshot;
  }

  /** Calls a listener whenever the head has moved, until the returned function is called. */
  onCommit(listener: CommitListener): () => void {
    return this.#writer.onCommit(listener);
  }

  /**
   * Removes the workspace from the store, after the transactions before. Those after it, and all from then on, are refused
   * as being about a workspace that was deleted.
   *
   * @param check Throws when the state, the last there is, must not go.
   */
  retire(check: (head: Head) => void): Promise<void> {
    return this.#writer.retire(check);
  }

  /** Ends after what is being written. What waits behind that is refused. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #hashPasswords(
    operations: readonly Operation[],
  ): Promise<readonly Operation[]> {
    return withHashedPasswords(
      operations,
      this.#writer.state.view,
      this.#random,
    );
  }
}
