import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { keyOf } from "../../model/kinds.ts";
import type { Slices } from "../../model/slices.ts";
import { onDelete } from "../../model/references.ts";
import { lookupKey } from "../../model/unique.ts";
import type { ConfigError, Violation } from "../../model/violation.ts";
import type { StoredChange } from "../store/store.ts";
import type {
  ChangeInfo,
  DeleteOperation,
  Operation,
  PutOperation,
  WarningInfo,
} from "./operation.ts";
import { changeInfo } from "./history.ts";
import { ownerOfName } from "./names.ts";
import { Put, type PutContext } from "./put.ts";
import { Refusals } from "./refusals.ts";
import {
  decodeResource,
  describeResource,
  factsOf,
  labelOf,
  partsOf,
} from "./resource.ts";
import { sortSlices } from "./sorted-keys.ts";
import { Layer, type View } from "./view.ts";

/** What one operation weighs in a slice: it costs as much as handling this many entries. */
export const OPERATION_WEIGHT = 16;

/** Names listed in one message, at most. */
const LISTED = 5;

/** What a planner needs from outside. */
export type PlannerContext = Pick<
  PutContext,
  "newId" | "newSecret" | "nowMs" | "onMasked"
>;

/** What a transaction will do. */
export interface Plan {
  /** On top of the view that was planned on. */
  readonly layer: Layer;
  /** Ascending by key. */
  readonly changes: readonly StoredChange[];
  readonly infos: readonly ChangeInfo[];
  readonly warnings: readonly WarningInfo[];
  readonly keys: readonly string[];
  /** Everything that is wrong with it, in a dry run that would be refused. */
  readonly refusal?: ConfigError;
  /** What an entry that there is then stands for. Not to be changed. */
  readonly resource: (key: string) => Resource;
}

/** Where the operation that claimed or deleted something stands. */
interface Cause {
  readonly order: number;
  readonly at: string | undefined;
  readonly pruned: boolean;
}

/**
 * Does operations on a layer of its own, one after the other, and gathers what is wrong with all of them. References and
 * uniqueness between resources count at the end: in between, a name may belong to two and a reference lead nowhere.
 */
export class Planner {
  readonly #below: View;
  readonly #layer: Layer;
  readonly #refusals = new Refusals();
  readonly #warnings: WarningInfo[] = [];
  readonly #put: Put;
  readonly #keys: string[] = [];
  /** What was put last, by its entry. */
  readonly #stored = new Map<string, Resource>();
  /** Where each entry was put or deleted last. */
  readonly #causes = new Map<string, Cause>();

  constructor(view: View, context: PlannerContext) {
    this.#below = view;
    this.#layer = new Layer(view);
    this.#put = new Put({
      ...context,
      layer: this.#layer,
      refusals: this.#refusals,
      warn: (warning) => this.#warnings.push(warning),
      onStored: (key, resource) => this.#stored.set(key, resource),
    });
  }

  /** The state as it is after the operations so far. */
  get view(): View {
    return this.#layer;
  }

  /** Notes what is wrong with the files that the operations come from: it may be why others of them are wrong. */
  refuse(
    problems: readonly { readonly violation: Violation; readonly at: string }[],
  ): void {
    this.#refusals.addOfFiles(problems);
  }

  /** Notes something about the transaction as a whole. */
  warn(warning: WarningInfo): void {
    this.#warnings.push(warning);
  }

  /** Does operations in their order. */
  *run(operations: Iterable<Operation>): Slices<void> {
    for (const operation of operations) {
      if (operation.type === "put") this.put(operation);
      else yield* this.delete(operation);
      yield OPERATION_WEIGHT;
    }
  }

  /** Creates or replaces a resource. */
  put(operation: PutOperation): void {
    const keys = this.#put.run(operation);
    for (const key of keys) this.#note(key, operation.at);
    if (keys[0] !== undefined) this.#keys.push(keys[0]);
  }

  /** Deletes a resource and what belongs to it. */
  *delete(operation: DeleteOperation): Slices<void> {
    const key = this.#find(operation);
    if (key !== undefined) yield* this.#remove(key);
  }

  /**
   * Deletes everything that no operation has put, of what has all of these tags. What is put and refers to it keeps the
   * transaction from being done.
   */
  *prune(tags: readonly string[] = []): Slices<void> {
    for (const key of this.#below.keys()) {
      yield 1;
      if (this.#causes.has(key)) continue;
      if (tags.length > 0) {
        yield OPERATION_WEIGHT;
        const has = this.#resource(key).kind.value?.tags ?? [];
        if (!tags.every((tag) => has.includes(tag))) continue;
      }
      this.#layer.set(key, undefined);
      this.#note(key, undefined, true);
      yield OPERATION_WEIGHT;
    }
  }

  /** Gives an entry a value that was committed before, or deletes it. */
  restore(key: string, value: Uint8Array | undefined): void {
    this.#layer.set(key, value);
    this.#stored.delete(key);
    this.#note(key, undefined);
    if (value !== undefined) this.#put.check(decodeResource(value), undefined);
  }

  /**
   * What it all comes to.
   *
   * @throws ConfigError with everything that is wrong. A dry run has that in its plan.
   */
  *finish(dryRun: boolean): Slices<Plan> {
    yield* this.#checkUnique();
    yield* this.#checkReferences();
    const refusal = this.#refusals.error;
    if (refusal !== undefined && !dryRun) throw refusal;
    const changes: StoredChange[] = [];
    const infos: ChangeInfo[] = [];
    for (const key of yield* sortSlices(this.#layer.entries.keys())) {
      const before = this.#below.get(key);
      const after = this.#layer.get(key);
      if (!sameBytes(before, after)) {
        const change = {
          key,
          ...(before === undefined ? {} : { before }),
          ...(after === undefined ? {} : { after }),
        };
        changes.push(change);
        infos.push(changeInfo(change, after && this.#resource(key)));
      }
      yield 1;
    }
    return {
      layer: this.#layer,
      changes,
      infos,
      warnings: this.#warnings,
      keys: this.#keys,
      ...(refusal === undefined ? {} : { refusal }),
      resource: (key) => this.#resource(key),
    };
  }

  #note(key: string, at: string | undefined, pruned = false): void {
    this.#causes.set(key, { order: this.#causes.size, at, pruned });
  }

  #find(operation: DeleteOperation): string | undefined {
    const { kind, id = "", name = "" } = operation;
    const key =
      id === "" ? ownerOfName(this.#layer, kind, name) : keyOf(kind, id);
    if (key !== undefined && this.#layer.get(key) !== undefined) return key;
    const violation = { kind, name: id === "" ? name : id, field: "" };
    if (id === "" && name === "")
      this.#refusals.add("invalid_argument", {
        ...violation,
        reason: "an id or a name is needed to delete",
      });
    else if (id === "" && lookupKey(kind, name).length === 0)
      this.#refusals.add("invalid_argument", {
        ...violation,
        reason: `a ${kind} cannot be found by a name alone: give its id`,
      });
    else
      this.#refusals.add("not_found", {
        ...violation,
        reason: `there is no ${kind} with this ${id === "" ? "name" : "id"}`,
      });
    return undefined;
  }

  *#remove(key: string): Slices<void> {
    const waiting = [key];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (this.#layer.get(next) === undefined) continue;
      const { kind } = partsOf(next);
      for (const referrer of this.#layer.referrers(next))
        if (onDelete(kind, partsOf(referrer).kind) === "cascade")
          waiting.push(referrer);
      this.#layer.set(next, undefined);
      this.#note(next, undefined);
      yield OPERATION_WEIGHT;
    }
  }

  *#checkUnique(): Slices<void> {
    for (const [uniqueKey, claimants] of this.#layer.contested) {
      yield OPERATION_WEIGHT;
      const holders = [...claimants].filter((key) =>
        this.#layer.holds(key, uniqueKey),
      );
      // The one that is there already keeps it; what came later is told.
      const [first, ...others] = holders.sort(
        (a, b) => this.#rank(a) - this.#rank(b),
      );
      if (first === undefined) continue;
      const owner = this.#resource(first);
      for (const key of others) {
        const resource = this.#resource(key);
        const unique = factsOf(resource).unique.find(
          (one) => one.key === uniqueKey,
        );
        this.#refusals.add(
          "already_exists",
          {
            ...labelOf(resource),
            field: unique?.fields.join(", ") ?? "",
            reason: `${unique?.describe ?? "it"} is taken by ${describeResource(owner)}; this one has id ${partsOf(key).id}: choose another, or put that one by its id`,
          },
          this.#causes.get(key)?.at,
        );
      }
    }
  }

  /** Entries that were there before come first, then those put earlier. */
  #rank(key: string): number {
    return this.#below.get(key) === undefined
      ? (this.#causes.get(key)?.order ?? 0)
      : -1;
  }

  *#checkReferences(): Slices<void> {
    for (const [key, value] of this.#layer.entries) {
      yield 1;
      if (value !== undefined) continue;
      const referrers = [...this.#layer.referrers(key)];
      if (referrers.length === 0) continue;
      const before = this.#below.get(key);
      const { kind, id } = partsOf(key);
      const listed = referrers
        .slice(0, LISTED)
        .map((referrer) => {
          const at = this.#causes.get(referrer)?.at;
          const who = describeResource(this.#resource(referrer));
          return at === undefined ? who : `${who} at ${at}`;
        })
        .join(", ");
      const more =
        referrers.length > LISTED
          ? ` and ${referrers.length - LISTED} more`
          : "";
      this.#refusals.add("failed_precondition", {
        ...(before === undefined
          ? { kind, name: id }
          : labelOf(decodeResource(before))),
        field: "",
        reason:
          this.#causes.get(key)?.pruned === true
            ? `the files do not name it, so pruning would delete it, but they name what refers to it: ${listed}${more}; name it too`
            : `cannot be deleted while something refers to it: ${listed}${more}; delete or change that first`,
      });
    }
  }

  #resource(key: string): Resource {
    const value = this.#layer.get(key);
    if (value === undefined) throw new TypeError(`no entry "${key}"`);
    return this.#stored.get(key) ?? decodeResource(value);
  }
}

function sameBytes(
  a: Uint8Array | undefined,
  b: Uint8Array | undefined,
): boolean {
  return a === undefined || b === undefined
    ? a === b
    : Buffer.compare(a, b) === 0;
}
