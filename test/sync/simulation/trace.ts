import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";

/** One step of a machine on one line: who, from which state, by what, into which, and what is to be done. */
export function describeStep(
  who: string,
  before: string,
  event: { readonly type: string },
  after: string,
  effects: readonly { readonly type: string }[],
): string {
  const done = effects.map((effect) => describe(effect)).join("; ");
  return `    ${who}: ${before} -- ${describe(event)} -> ${after}${done === "" ? "" : ` | ${done}`}`;
}

function describe(what: { readonly type: string }): string {
  const fields: readonly (readonly [string, unknown])[] = Object.entries(what);
  const parts = fields.flatMap(([name, value]) =>
    name === "type" || name === "nowMs" || value === undefined
      ? []
      : [`${name}=${show(value)}`],
  );
  return parts.length === 0 ? what.type : `${what.type}(${parts.join(" ")})`;
}

const HIDDEN = new Set([
  "$typeName",
  "features",
  "workspace",
  "violations",
  "needs",
  "missing",
  "totals",
  "timings",
]);

function show(value: unknown): string {
  if (isCursor(value))
    return `${value.epoch}/${value.revision}#${value.root.slice(0, 4)}`;
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .filter(([name, each]) => !HIDDEN.has(name) && each !== undefined)
      .map(([name, each]) => `${name}=${show(each as unknown)}`)
      .join(" ")}}`;
  return String(value);
}

function isCursor(value: unknown): value is Cursor {
  return (
    typeof value === "object" &&
    value !== null &&
    "$typeName" in value &&
    value.$typeName === "holdfast.config.v1.Cursor"
  );
}
