/** Something that a call was about. */
export interface AuditedResource {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  /** "create", "update", "delete", or empty. */
  readonly action: string;
}

/** A call as it begins: before anything is done, and whatever becomes of it. */
export interface AuditedCall {
  readonly timeMs: number;
  /** Empty: nobody had to say who they are, or has not. */
  readonly caller: string;
  /** The address that it came from. */
  readonly from: string;
  /** "holdfast.admin.v1.ConfigService/Put" */
  readonly method: string;
  readonly workspace: string;
  /** What it is about; the first {@link MAX_RESOURCES}. */
  readonly resources: readonly AuditedResource[];
  readonly resourceCount: number;
  readonly dryRun: boolean;
}

/** A call as it ended. */
export interface AuditRecord extends AuditedCall {
  /** 0: it led to none. */
  readonly revision: number;
  /** "ok", an error's code, or "unknown". */
  readonly result: string;
  /** Why it was refused. */
  readonly reason: string;
  /** Refused calls that are left out before this one. */
  readonly omitted: number;
}

/** What is kept, with its place among all. */
export interface KeptRecord extends AuditRecord {
  readonly sequence: number;
}

/** How many resources a record names. */
export const MAX_RESOURCES = 20;

/** A line of the log; without what is empty. Text is quoted, so that nobody's name makes a second line. */
export function lineOf(record: AuditRecord, sequence: number): string {
  return `${JSON.stringify({ sequence, ...jsonOf(record) })}\n`;
}

/** A line that says that a call has begun. */
export function beginningOf(call: AuditedCall, sequence: number): string {
  return `${JSON.stringify({ begins: sequence, ...jsonOf(call) })}\n`;
}

/** What a line says. */
export type Line =
  | { readonly type: "begins"; readonly sequence: number; call: AuditedCall }
  | {
      readonly type: "record";
      readonly record: KeptRecord;
      /** The sequence of its beginning. */
      readonly ends: number | undefined;
    };

/** A line that ends what has begun. */
export function endOf(
  record: AuditRecord,
  sequence: number,
  begun: number,
): string {
  return `${JSON.stringify({ sequence, ...jsonOf(record), ends: begun })}\n`;
}

/** Reads a line. Undefined for one that was not written whole. */
export function readLine(line: string): Line | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const fields = parsed as Readonly<Record<string, unknown>>;
  const call = callOf(fields);
  if (typeof fields["begins"] === "number")
    return { type: "begins", sequence: fields["begins"], call };
  if (typeof fields["sequence"] !== "number") return undefined;
  return {
    type: "record",
    record: {
      ...call,
      sequence: fields["sequence"],
      revision: numberOf(fields["revision"]),
      result: textOf(fields["result"]),
      reason: textOf(fields["reason"]),
      omitted: numberOf(fields["omitted"]),
    },
    ends: typeof fields["ends"] === "number" ? fields["ends"] : undefined,
  };
}

function jsonOf(call: AuditedCall & Partial<AuditRecord>): object {
  const { revision = 0, omitted = 0, resourceCount, resources } = call;
  return {
    time: new Date(call.timeMs).toISOString(),
    caller: call.caller,
    from: call.from,
    method: call.method,
    ...(call.workspace === "" ? {} : { workspace: call.workspace }),
    ...(resources.length === 0
      ? {}
      : { resources: resources.map(withoutEmpty) }),
    ...(resourceCount > resources.length
      ? { resource_count: resourceCount }
      : {}),
    ...(call.dryRun ? { dry_run: true } : {}),
    ...(revision === 0 ? {} : { revision }),
    ...(call.result === undefined ? {} : { result: call.result }),
    ...((call.reason ?? "") === "" ? {} : { reason: call.reason }),
    ...(omitted === 0 ? {} : { omitted }),
  };
}

function withoutEmpty(resource: AuditedResource): object {
  return Object.fromEntries(
    Object.entries(resource).filter(([, text]) => text !== ""),
  );
}

function callOf(fields: Readonly<Record<string, unknown>>): AuditedCall {
  const resources = Array.isArray(fields["resources"])
    ? (fields["resources"] as readonly unknown[]).map(resourceOf)
    : [];
  return {
    timeMs: Date.parse(textOf(fields["time"])) || 0,
    caller: textOf(fields["caller"]),
    from: textOf(fields["from"]),
    method: textOf(fields["method"]),
    workspace: textOf(fields["workspace"]),
    resources,
    resourceCount: numberOf(fields["resource_count"]) || resources.length,
    dryRun: fields["dry_run"] === true,
  };
}

function resourceOf(value: unknown): AuditedResource {
  const fields =
    typeof value === "object" && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : {};
  return {
    kind: textOf(fields["kind"]),
    id: textOf(fields["id"]),
    name: textOf(fields["name"]),
    action: textOf(fields["action"]),
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
