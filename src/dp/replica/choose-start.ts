import { create } from "@bufbuild/protobuf";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  NackClass,
  RefusalSchema,
  type Refusal,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import type { Logger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import type { Database } from "./format.ts";
import { stateBefore } from "./inverse.ts";
import type { State } from "./last-good.ts";
import type { Contents, Lost } from "./replica-database.ts";
import type { SecondCopy } from "./second-copy.ts";
import { crashed, CRASHES, settle, type Trials } from "./trials.ts";

/** What a data plane starts from. */
export interface LoadedState extends State {
  /** Where it was found; `previous`: the state before the last change, in the place of one that is quarantined. */
  readonly source: "replica" | "last-good" | "previous";
}

/** What was decided at a start. */
export interface Start {
  readonly loaded: LoadedState | undefined;
  readonly refusals: readonly Refusal[];
  readonly trials: Trials;
  /** Whether states were quarantined: that, and what is served instead, must get to the disk. */
  readonly quarantines: boolean;
}

/** What there is to decide by. */
export interface Choices {
  /** Open for reading; undefined when it cannot be. */
  readonly db: Database | undefined;
  readonly contents: Contents | undefined;
  readonly lost: Lost | undefined;
  readonly copy: SecondCopy;
  readonly logger: Logger;
}

/** Decides what to start from: the newest state of both copies that is whole and not quarantined. */
export async function chooseStart(choices: Choices): Promise<Start> {
  const { contents, logger } = choices;
  const trials = contents?.trials ?? [];
  const known = contents?.refusals ?? [];
  const fresh = crashed(trials);
  const refusals = [
    ...known.filter(
      ({ cursor }) => !fresh.some(({ root }) => root === cursor?.root),
    ),
    ...fresh.map((cursor) => refusalOf(cursor)),
  ].slice(-LIMITS.refusals);
  const barred = barredRoots(refusals);
  const newest = await newestOf(choices, barred);
  const isBarred = newest !== undefined && barred.has(newest.cursor.root);
  const loaded = isBarred ? await insteadOf(newest, choices, barred) : newest;
  for (const cursor of fresh)
    logger.error("replica.quarantined", {
      quarantined: describeCursor(cursor),
      serving: describeCursor(loaded?.cursor),
      crashes: CRASHES,
      consequence: `${CRASHES} processes in a row ended without being asked to while they took it up or within 10 s of serving it; this build does not take it up again until another state is published or it is asked to: holdfast nodes retry NODE`,
    });
  if (isBarred && fresh.length === 0)
    logger.warn("replica.still_quarantined", {
      quarantined: describeCursor(newest.cursor),
      serving: describeCursor(loaded?.cursor),
    });
  return {
    loaded,
    refusals,
    trials: fresh.reduce((left, { root }) => settle(left, root), trials),
    quarantines: fresh.length > 0 || isBarred,
  };
}

async function newestOf(
  { contents, lost, copy, logger }: Choices,
  barred: ReadonlySet<string | undefined>,
): Promise<LoadedState | undefined> {
  const stored = contents?.state;
  if (stored !== undefined) {
    const copied = await copy.cursor();
    if (
      copied === undefined ||
      !isAhead(copied, stored.cursor) ||
      barred.has(copied.root)
    ) {
      // The process may have died before the second copy was written.
      if (
        !cursorsEqual(copied, stored.cursor) &&
        !barred.has(stored.cursor.root)
      )
        copy.schedule(stored);
      return { ...stored, source: "replica" };
    }
    // As it never is unless LevelDB has lost what it had said to be durable.
    logger.error("replica.behind", {
      replica: describeCursor(stored.cursor),
      last_good: describeCursor(copied),
    });
  }
  const state = await copy.read();
  if (state === undefined) return stored && { ...stored, source: "replica" };
  logger.warn("replica.from_last_good", {
    revision: state.cursor.revision,
    root: state.cursor.root,
    serving: describeCursor(state.cursor),
    ...(lost === undefined
      ? {}
      : {
          lost:
            lost.cursor === undefined
              ? "unknown: it could not be read"
              : describeCursor(lost.cursor),
        }),
  });
  return { ...state, source: "last-good" };
}

/** What to serve in the place of a state that is quarantined. */
export async function insteadOf(
  quarantined: State,
  {
    db,
    contents,
    copy,
    logger,
  }: Pick<Choices, "db" | "copy" | "logger"> & {
    readonly contents: Pick<Contents, "inverse"> | undefined;
  },
  barred: ReadonlySet<string | undefined>,
): Promise<LoadedState | undefined> {
  try {
    const before =
      db === undefined
        ? undefined
        : await stateBefore(db, contents?.inverse, quarantined);
    if (before !== undefined && !barred.has(before.cursor.root))
      return { ...before, source: "previous" };
  } catch (error) {
    logger.error("replica.previous_unusable", { err: error });
  }
  const other = await copy.read();
  return other === undefined || barred.has(other.cursor.root)
    ? undefined
    : { ...other, source: "last-good" };
}

function isAhead(copied: Cursor, stored: Cursor): boolean {
  return copied.epoch === stored.epoch && copied.revision > stored.revision;
}

/** Bars a state that processes, or workers, crashed with. */
export function refusalOf(cursor: Cursor, who = "processes"): Refusal {
  return create(RefusalSchema, {
    class: NackClass.CRASHED,
    cursor,
    violations: [
      {
        reason: `${CRASHES} ${who} in a row crashed while they took it up or within 10 s of serving it`,
      },
    ],
  });
}

/** The roots that are barred. */
export function barredRoots(
  refusals: readonly Refusal[],
): ReadonlySet<string | undefined> {
  return new Set(
    refusals
      .filter((refusal) => refusal.class === NackClass.CRASHED)
      .map(({ cursor }) => cursor?.root),
  );
}
