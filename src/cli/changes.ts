import type {
  Change,
  Warning,
} from "../gen/holdfast/admin/v1/config_service_pb.js";
import type { Output } from "./io.ts";
import { printable, table } from "./table.ts";

const SHOWN = 1000;

/** The changes of a revision, one a line. */
export function changesTable(changes: readonly Change[], out: Output): string {
  if (changes.length === 0) return "";
  const shown = changes.slice(0, SHOWN);
  const more = changes.length - shown.length;
  return (
    table(
      ["ACTION", "KIND", "NAME", "ID"],
      changeRows(shown).map((row, i) => [shown[i]?.action ?? "", ...row]),
      out,
    ) + (more > 0 ? `and ${more} more\n` : "")
  );
}

/** The kind, name and id of what is changed. What has no name is called by its id. */
function changeRows(changes: readonly Change[]): string[][] {
  return changes.map(({ kind, name, id }) => [
    kind,
    name === id ? "" : name,
    id,
  ]);
}

/** How many were created, updated and deleted: `2 created, 1 deleted`. */
export function countChanges(changes: readonly Change[]): string {
  const counts = ["create", "update", "delete"]
    .map((action) => ({
      action,
      count: changes.filter((change) => change.action === action).length,
    }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${action}d`);
  return counts.length === 0 ? "no changes" : counts.join(", ");
}

/** Tells people what was accepted and may not do what was meant. */
export function writeWarnings(err: Output, warnings: readonly Warning[]): void {
  for (const warning of warnings) {
    const { kind, name, id, field, message, nodes, position } = warning;
    const called = name === "" ? id : name;
    // Of what a file says, the kind is all there is: `route "x"`.
    const who = kind === "" || called === "" ? kind : `${kind} "${called}"`;
    const where = nodes.length === 0 ? "" : ` (nodes ${nodes.join(", ")})`;
    const text = [position, who, field, message]
      .filter((part) => part !== "")
      .join(": ");
    err.write(`warning: ${printable(text)}${printable(where)}\n`);
  }
}
