import type { Logger } from "../../runtime/logger.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf } from "../../model/cursor.ts";
import type { Slices } from "../../model/slices.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import type {
  Commit,
  RevisionRecord,
  Store,
  StoredChange,
} from "../store/store.ts";
import { earlierResult, encodeResult, keyReused } from "./idempotency.ts";
import type { Job } from "./job.ts";
import type { TransactResult, WarningInfo } from "./operation.ts";
import { warnOfNodes, type NodeWarnings } from "./node-warnings.ts";
import { Planner, type Plan, type PlannerContext } from "./planner.ts";
import type { Head, State } from "./state.ts";
import { Layer } from "./view.ts";

/** A transaction may delete this many entries, or half of all, without being asked whether it means it. */
const MASS_DELETE_ENTRIES = 20;

/** What planning a batch needs. */
export interface BatchContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly nodeWarnings: NodeWarnings;
  readonly planner: Omit<PlannerContext, "nowMs" | "onMasked">;
  /** Runs work in slices. */
  readonly drive: <T>(work: Slices<T>) => Promise<T>;
}

/** What came of planning a job: the answer that it gets once the batch is durable, or why it is refused. */
export type Outcome =
  | { readonly type: "result"; readonly result: TransactResult }
  | { readonly type: "refused"; readonly error: unknown };

/** Plans jobs one on top of the other. One that fails leaves no trace. */
export class Batch {
  readonly #context: BatchContext;
  readonly #base: State;
  readonly #layer: Layer;
  readonly #commits: Commit[] = [];
  readonly #records: RevisionRecord[] = [];
  readonly #heads: Head[] = [];
  /** What was planned in this batch under an idempotency key. */
  readonly #answers = new Map<
    string,
    { readonly digest: string; readonly result: TransactResult }
  >();

  constructor(context: BatchContext, base: State) {
    this.#context = context;
    this.#base = base;
    this.#layer = new Layer(base.view);
  }

  /** What is to be made durable. Empty when nothing is. */
  get commits(): readonly Commit[] {
    return this.#commits;
  }

  /** The revisions it makes, ascending. */
  get records(): readonly RevisionRecord[] {
    return this.#records;
  }

  /** The state after each of the revisions. */
  get heads(): readonly Head[] {
    return this.#heads;
  }

  /** All changes, on top of the state the batch began with. */
  get layer(): Layer {
    return this.#layer;
  }

  /** The state after the jobs so far. */
  get head(): Head {
    return this.#heads.at(-1) ?? this.#base.head;
  }

  /** Plans one job. Never throws: a failure is the job's outcome. */
  async add(job: Job): Promise<Outcome> {
    try {
      return { type: "result", result: await this.#plan(job) };
    } catch (error) {
      return { type: "refused", error };
    }
  }

  async #plan(job: Job): Promise<TransactResult> {
    const { options } = job;
    const { dryRun = false } = options;
    const { store, clock, drive, planner: context } = this.#context;
    const { idempotencyKey: key = "", requestDigest: digest = "" } = options;
    const remember = key !== "" && !dryRun;
    if (remember) {
      const known = this.#answers.get(key);
      if (known !== undefined && known.digest !== digest)
        throw keyReused(key, "at the same time");
      const earlier =
        known?.result ??
        (await earlierResult(store, clock, this.head, key, digest));
      if (earlier !== undefined) return earlier;
    }
    checkExpected(options.expectedRevision, this.head.cursor);
    const nowMs = clock.now();
    const { onMasked } = options;
    const planner = new Planner(this.#layer, {
      ...context,
      nowMs,
      ...(onMasked === undefined ? {} : { onMasked }),
    });
    const base = { durable: this.#base.head, pending: this.#layer };
    await drive(await job.plan(planner, base));
    const plan = await drive(planner.finish(dryRun));
    const warnings = [
      ...(job.warnings ?? []),
      ...plan.warnings,
      ...(await drive(warnOfNodes(plan, this.#context.nodeWarnings, dryRun))),
      ...this.#massDelete(plan, job),
    ];
    const result = { changes: plan.infos, warnings, keys: plan.keys };
    if (dryRun) {
      const { revision } = this.head.cursor;
      const next = plan.changes.length === 0 ? revision : revision + 1n;
      const { changes: details, layer, refusal } = plan;
      return {
        ...result,
        revision: next,
        head: this.#base.head,
        dryRun: {
          details,
          planned: (key) => layer.get(key),
          ...(refusal === undefined ? {} : { refusal }),
        },
      };
    }
    const record =
      plan.changes.length === 0
        ? undefined
        : await this.#advance(plan, job, nowMs);
    const { head } = this;
    const answer = { ...result, revision: head.cursor.revision, head };
    this.#commit(record, remember ? key : "", digest, answer, nowMs);
    return answer;
  }

  #commit(
    record: RevisionRecord | undefined,
    key: string,
    digest: string,
    result: TransactResult,
    timeMs: number,
  ): void {
    if (record !== undefined) this.#records.push(record);
    if (key === "") {
      if (record !== undefined) this.#commits.push({ record });
      return;
    }
    this.#answers.set(key, { digest, result });
    const answer = encodeResult(result);
    this.#commits.push({
      ...(record === undefined ? {} : { record }),
      idempotency: { key, digest, answer, timeMs },
    });
  }

  /** Makes the plan's changes the newest state of the batch. */
  async #advance(
    plan: Plan,
    job: Job,
    timeMs: number,
  ): Promise<RevisionRecord> {
    const { drive } = this.#context;
    const { cursor, predecessors, snapshot } = this.head;
    const next = await drive(applyChanges(snapshot, plan.changes));
    const root = await drive(next.hashSlices());
    const expected = job.expectedRoot?.();
    if (expected !== undefined && expected !== root)
      throw new ConfigError(
        "failed_precondition",
        `the history contradicts itself: going back through it leads to root ${root}, and the record says ${expected}. Nothing was changed; apply the declarative files instead`,
      );
    await drive(plan.layer.mergeSlices(this.#layer));
    const moved = cursorOf(cursor.epoch, cursor.revision + 1n, root);
    this.#heads.push({ cursor: moved, predecessors, snapshot: next });
    return {
      cursor: moved,
      timeMs,
      author: job.options.author ?? "",
      message: job.options.message ?? "",
      changes: plan.changes,
    };
  }

  /** Refuses to delete most of everything by mistake. A dry run only says that it would be. */
  #massDelete(plan: Plan, job: Job): WarningInfo[] {
    const total = this.#layer.entryCount;
    let deleted = 0;
    for (const { action } of plan.infos) if (action === "delete") deleted++;
    if (
      job.options.allowMassDelete === true ||
      deleted < MASS_DELETE_ENTRIES ||
      2 * deleted <= total
    )
      return [];
    const reason = `would delete ${deleted} of ${total} resources, more than half of workspace "${this.#base.head.snapshot.workspace}"; if that is meant, set allow_mass_delete (on the command line: --yes)`;
    if (job.options.dryRun !== true)
      throw ConfigError.of("failed_precondition", [
        { kind: "", name: "", field: "allow_mass_delete", reason },
      ]);
    return [
      {
        kind: "",
        id: "",
        name: "",
        field: "allow_mass_delete",
        message: reason,
        nodes: [],
        position: "",
      },
    ];
  }
}

/** A snapshot with changes made to it. */
export function* applyChanges(
  snapshot: Snapshot,
  changes: readonly StoredChange[],
): Slices<Snapshot> {
  return yield* snapshot.applySlices({
    puts: changes.flatMap(({ key, after }) =>
      after === undefined ? [] : [{ key, value: after }],
    ),
    deletes: changes.flatMap(({ key, after }) =>
      after === undefined ? [key] : [],
    ),
  });
}

function checkExpected(expected: bigint | undefined, cursor: Cursor): void {
  if (expected === undefined || expected === cursor.revision) return;
  throw ConfigError.of("aborted", [
    {
      kind: "",
      name: "",
      field: "expected_revision",
      reason: `revision ${expected} was expected, and the head is revision ${cursor.revision}: read again what is to be changed, then try again`,
    },
  ]);
}
