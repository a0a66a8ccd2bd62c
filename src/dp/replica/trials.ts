import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf } from "../../model/cursor.ts";

/** A state that was taken up and has not proved itself: which boots ended, or may yet end, in a crash with it. */
interface Trial {
  readonly cursor: Cursor;
  /** Random ids of processes, oldest first. */
  readonly boots: readonly string[];
}

/** The trials of one build, the newest last. A boot stands in one of them at most: in that of what it took up last. */
export type Trials = readonly Trial[];

/** So many boots that ended in a crash are enough. */
export const CRASHES = 3;
/** Trials that are remembered. */
const MOST = 8;

/** From now on a crash of this boot is put down to this state. */
export function take(trials: Trials, cursor: Cursor, boot: string): Trials {
  const known = trials.find((trial) => trial.cursor.root === cursor.root);
  return [
    ...without(trials, boot).filter(
      (trial) => trial.cursor.root !== cursor.root,
    ),
    {
      cursor,
      boots: [
        ...(known?.boots.filter((other) => other !== boot) ?? []),
        boot,
      ].slice(-CRASHES),
    },
  ].slice(-MOST);
}

/** A crash of this boot is nobody's fault: it has taken up nothing, or not kept it. */
export function without(trials: Trials, boot: string): Trials {
  return trials
    .map(({ cursor, boots }) => ({
      cursor,
      boots: boots.filter((other) => other !== boot),
    }))
    .filter(({ boots }) => boots.length > 0);
}

/** The state that a crash of this boot is put down to. */
export function blamedFor(trials: Trials, boot: string): Cursor | undefined {
  return trials.find(({ boots }) => boots.includes(boot))?.cursor;
}

/** The state has proved itself, or is quarantined. */
export function settle(trials: Trials, root: string): Trials {
  return trials.filter((trial) => trial.cursor.root !== root);
}

/** At a start, when all the boots that are remembered are over: the states that are not to be taken up again. */
export function crashed(trials: Trials): readonly Cursor[] {
  return trials
    .filter(({ boots }) => boots.length >= CRASHES)
    .map(({ cursor }) => cursor);
}

/** Trials as plain data, with the build that they are about. */
export function trialsToJson(trials: Trials, build: string): unknown {
  return {
    build,
    trials: trials.map(({ cursor, boots }) => ({
      ...cursorToJson(cursor),
      boots,
    })),
  };
}

/** What {@link trialsToJson} gave; none when they are of another build, which may fare better. */
export function trialsFromJson(value: unknown, build: string): Trials {
  if (!isRecord(value) || value["build"] !== build) return [];
  const trials = value["trials"];
  if (!Array.isArray(trials)) return [];
  return trials.flatMap((trial: unknown): Trial[] => {
    const cursor = cursorFromJson(trial);
    const boots = isRecord(trial) ? trial["boots"] : undefined;
    return cursor === undefined || !Array.isArray(boots)
      ? []
      : [{ cursor, boots: boots.map(String) }];
  });
}

/** A cursor as plain data. */
export function cursorToJson({ epoch, revision, root }: Cursor): {
  readonly epoch: string;
  readonly revision: string;
  readonly root: string;
} {
  return { epoch, revision: String(revision), root };
}

/** What {@link cursorToJson} gave; undefined for anything else. */
export function cursorFromJson(value: unknown): Cursor | undefined {
  if (!isRecord(value)) return undefined;
  const { epoch, revision, root } = value;
  return typeof epoch === "string" &&
    typeof revision === "string" &&
    /^\d{1,20}$/.test(revision) &&
    typeof root === "string"
    ? cursorOf(epoch, BigInt(revision), root)
    : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
