import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import {
  ChangeSchema,
  ResourceChangeSchema,
  RevisionSchema,
  WarningSchema,
  type Change,
  type ResourceChange,
  type Revision,
  type Warning,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { ChangeDetail, RevisionInfo } from "../catalog/history.ts";
import type {
  ChangeInfo,
  TransactResult,
  WarningInfo,
} from "../catalog/operation.ts";
import { decodeResource } from "../catalog/resource.ts";
import { Room } from "./room.ts";
import type { Show } from "./secrets.ts";

/** What a revision may take of an answer that has its changes in full beside it. */
const REVISION_BYTES = 512 << 10;

/** A write's answer may list this much of either; the rest is left out and said so. */
const WRITE_BYTES = 3 << 19;

/** What every write answers. */
export interface WriteAnswer {
  revision: bigint;
  changes: Change[];
  warnings: Warning[];
}

/** The answer to a write. A list too long for one message is cut, and a warning says so: the write is done. */
export async function writeAnswer(
  result: TransactResult,
  call: HandlerContext,
): Promise<WriteAnswer> {
  const { revision } = result;
  const all = result.changes;
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
  return { revision, changes, warnings: shown };
}

/** As many of the changes as there is room for. Deletions first when that is not all: whoever is asked about them sees some. */
async function fitChanges(
  all: readonly ChangeInfo[],
  call: HandlerContext,
): Promise<Change[]> {
  const fit = (some: readonly ChangeInfo[]) =>
    new Room(call, WRITE_BYTES).fitInTurns(
      ChangeSchema,
      mapped(some, changeOf),
    );
  const changes = await fit(all);
  if (changes.length === all.length) return changes;
  const isDeletion = ({ action }: ChangeInfo) => action === "delete";
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

/** A change with the resource before and after it. */
export function resourceChangeOf(
  detail: ChangeDetail,
  show: Show,
): ResourceChange {
  const { change, before, after } = detail;
  return create(ResourceChangeSchema, {
    change: changeOf(change),
    ...(before === undefined ? {} : { before: show(decodeResource(before)) }),
    ...(after === undefined ? {} : { after: show(decodeResource(after)) }),
  });
}

export function* mapped<A, B>(
  all: Iterable<A>,
  map: (one: A) => B,
): Generator<B, void, undefined> {
  for (const one of all) yield map(one);
}

function changeOf({ kind, id, name, action }: ChangeInfo): Change {
  return create(ChangeSchema, { kind, id, name, action });
}

function warningOf(warning: WarningInfo): Warning {
  return create(WarningSchema, { ...warning, nodes: [...warning.nodes] });
}
