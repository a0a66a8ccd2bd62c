import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import {
  ChangeSchema,
  DryRunPlanSchema,
  RevisionSchema,
  ViolationSchema,
  WarningSchema,
  type Change,
  type DryRunPlan,
  type Revision,
  type Violation,
  type Warning,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { ChangeDetail, RevisionInfo } from "../catalog/history.ts";
import { redact } from "../../model/redact.ts";
import type { ConfigError } from "../../model/violation.ts";
import { RefusedDryRun } from "./refused-dry-run.ts";
import type { TransactResult, WarningInfo } from "../catalog/operation.ts";
import { changeOf, detailedChangeOf } from "./change-answers.ts";
import { Room } from "./room.ts";

/** What a revision may take of an answer that has its changes in full beside it. */
const REVISION_BYTES = 512 << 10;

/** A write's answer may list this much of either; the rest is left out and said so. */
const WRITE_BYTES = 3 << 19;

/** The same for what is wrong. */
const VIOLATION_BYTES = 3 << 18;

/** What every write answers. */
export interface WriteAnswer {
  revision: bigint;
  changes: Change[];
  warnings: Warning[];
  violations: Violation[];
}

/** What a request wants to be told. */
interface Wanted {
  readonly includeViolations: boolean;
}

/**
 * The answer to a write. A list too long for one message is cut, and a warning says so: the write is done.
 *
 * @throws RefusedDryRun when it is a dry run that would be refused, unless what is wrong shall be part of the answer.
 */
export async function writeAnswer(
  result: TransactResult,
  call: HandlerContext,
  { includeViolations }: Wanted,
): Promise<WriteAnswer> {
  const { revision } = result;
  const refusal = result.dryRun?.refusal;
  if (refusal !== undefined && !includeViolations)
    throw new RefusedDryRun(refusal, planOf(result));
  const all = result.changes.map((info, i): ChangeDetail => {
    const { before, after } = result.dryRun?.details[i] ?? {};
    return {
      change: info,
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    };
  });
  const changes = await fitChanges(all, call);
  const shown = await new Room(call, WRITE_BYTES).fitInTurns(
    WarningSchema,
    mapped(result.warnings, warningOf),
  );
  const left = result.warnings.length - shown.length;
  if (left > 0)
    shown.push(
      create(WarningSchema, { message: `there are ${left} more warnings` }),
    );
  if (changes.length < all.length)
    shown.push(
      create(WarningSchema, {
        message: `only ${changes.length} of ${all.length} changes are listed here; GetRevision and Watch have them with their content`,
      }),
    );
  return {
    revision,
    changes,
    warnings: shown,
    violations: await violationsOf(refusal, call),
  };
}

/** Everything that is wrong, as far as there is room. */
async function violationsOf(
  refusal: ConfigError | undefined,
  call: HandlerContext,
): Promise<Violation[]> {
  const all = refusal?.violations ?? [];
  const shown = await new Room(call, VIOLATION_BYTES).fitInTurns(
    ViolationSchema,
    mapped(all, (one) => create(ViolationSchema, { ...one })),
  );
  const left = all.length - shown.length;
  if (left > 0)
    shown.push(create(ViolationSchema, { reason: `and ${left} more` }));
  return shown;
}

/** What fits into an error: it has room for few. */
function planOf({ changes, warnings }: TransactResult): DryRunPlan {
  const isOfNodes = ({ nodes }: WarningInfo) => nodes.length > 0;
  const first = [
    ...warnings.filter(isOfNodes),
    ...warnings.filter((warning) => !isOfNodes(warning)),
  ];
  return create(DryRunPlanSchema, {
    changes: changes.slice(0, PLANNED).map(changeOf),
    changeCount: changes.length,
    warnings: first.slice(0, PLANNED).map(warningOf),
    warningCount: warnings.length,
  });
}

/** Changes or warnings of a plan in an error, at most. */
const PLANNED = 1000;

/** As many of the changes as there is room for. Deletions first when that is not all: whoever is asked about them sees some. */
async function fitChanges(
  all: readonly ChangeDetail[],
  call: HandlerContext,
): Promise<Change[]> {
  const fit = (some: readonly ChangeDetail[]) =>
    new Room(call, WRITE_BYTES).fitInTurns(
      ChangeSchema,
      mapped(some, (one) => detailedChangeOf(one, redact)),
    );
  const changes = await fit(all);
  if (changes.length === all.length) return changes;
  const isDeletion = ({ change }: ChangeDetail) => change.action === "delete";
  return fit([
    ...all.filter(isDeletion),
    ...all.filter((change) => !isDeletion(change)),
  ]);
}

/** A revision with as many of its changes as it lists and there is room for. */
export async function revisionOf(
  info: RevisionInfo,
  call: HandlerContext,
): Promise<Revision> {
  return create(RevisionSchema, {
    cursor: info.cursor,
    time: timestampFromMs(info.timeMs),
    author: info.author,
    message: info.message,
    changes: await new Room(call, REVISION_BYTES).fitInTurns(
      ChangeSchema,
      mapped(info.changes, changeOf),
    ),
    changeCount: info.changeCount,
  });
}

export function* mapped<A, B>(
  all: Iterable<A>,
  map: (one: A) => B,
): Generator<B, void, undefined> {
  for (const one of all) yield map(one);
}

function warningOf(warning: WarningInfo): Warning {
  return create(WarningSchema, { ...warning, nodes: [...warning.nodes] });
}
