import type {
  Change,
  Warning,
} from "../gen/holdfast/admin/v1/config_service_pb.js";
import { fieldLines, OVERVIEW } from "./field-lines.ts";
import type { Palette } from "./paint.ts";
import { printable } from "./table.ts";

/** Names shown of one kind; who wants all asks for JSON. */
const SHOWN = 20;
/** Entities named where one reason is about many. */
const FEW = 3;

const ACTIONS = [
  { action: "create", sign: "+" },
  { action: "update", sign: "~" },
  { action: "delete", sign: "-" },
] as const;

/** The changes for a person: by what would be done, then by kind, with the fields that would change, and a line of numbers. */
export function describeChanges(
  changes: readonly Change[],
  palette: Palette,
): string {
  if (changes.length === 0) return "no differences\n";
  const kinds = [...new Set(changes.map(({ kind }) => kind))];
  const width = Math.max(...kinds.map((kind) => kind.length));
  const groups: string[] = [];
  const counts: string[] = [];
  for (const { action, sign } of ACTIONS) {
    const same = changes.filter((change) => change.action === action);
    if (same.length === 0) continue;
    counts.push(`${same.length} to ${action}`);
    const lines = kinds.flatMap((kind) =>
      linesOf(
        same.filter((change) => change.kind === kind),
        `${sign} ${kind.padEnd(width)}`,
      ),
    );
    groups.push(lines.map((line) => `${palette[action](line)}\n`).join(""));
  }
  return `${groups.join("")}${counts.join(", ")}\n`;
}

function linesOf(changes: readonly Change[], prefix: string): string[] {
  const shown = changes.slice(0, SHOWN).flatMap((change) => {
    const { name, id, fields, fieldCount } = change;
    return [
      printable(`${prefix}  ${name === "" ? id : name}`),
      ...fieldLines(fields, fieldCount, OVERVIEW).map((line) => `    ${line}`),
    ];
  });
  const more = changes.length - SHOWN;
  return more > 0 ? [...shown, `${prefix}  … and ${more} more`] : shown;
}

/** Which nodes would refuse the change or serve it in part, and why; empty when all would serve it. */
export function describeRefusals(
  warnings: readonly Warning[],
  palette: Palette,
): string {
  // One that many changes share is told once.
  const byReason = new Map<string, string[]>();
  for (const { nodes, kind, name, id, message, refusing } of warnings) {
    if (nodes.length === 0) continue;
    const reason = `${refusing ? "refused" : "in part"}\0${message}`;
    const called = name === "" ? id : name;
    const who = byReason.get(reason) ?? [];
    byReason.set(reason, who);
    if (kind !== "") who.push(`${kind} ${JSON.stringify(called)}`);
  }
  return [...byReason]
    .map(([reason, who]) => {
      const [what = "", message = ""] = reason.split("\0");
      const more = who.length > FEW ? ` and ${who.length - FEW} more` : "";
      const subject = `${who.slice(0, FEW).join(", ")}${more}`;
      const told = [what, subject, message].filter((part) => part !== "");
      return `${palette.warn(printable(`! ${told.join(": ")}`))}\n`;
    })
    .join("");
}
