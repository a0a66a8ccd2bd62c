import { Code, ConnectError } from "@connectrpc/connect";
import { create, toBinary } from "@bufbuild/protobuf";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import {
  ChangeSchema,
  DryRunPlanSchema,
  WarningSchema,
  type DryRunPlan,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { RefusedDryRun } from "./refused-dry-run.ts";
import {
  describeViolation,
  type ConfigError,
  type ConfigErrorCode,
  type Violation,
} from "../../model/violation.ts";

const CODES: Readonly<Record<ConfigErrorCode, Code>> = {
  invalid_argument: Code.InvalidArgument,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  unavailable: Code.Unavailable,
  resource_exhausted: Code.ResourceExhausted,
};

/** Not the request's fault: there is nothing in it to point at. */
const NOBODYS_FAULT: ReadonlySet<ConfigErrorCode> = new Set([
  "unavailable",
  "resource_exhausted",
]);

/** How much an error may say, in bytes. */
export interface ErrorRoom {
  readonly message: number;
  readonly details: number;
}

/** gRPC puts errors into trailers, and many clients refuse more than 8 KiB of those, base64 included. */
export const TRAILER_ROOM: ErrorRoom = { message: 1024, details: 4096 };
/** Connect and gRPC-Web put errors into the body. */
export const BODY_ROOM: ErrorRoom = { message: 65_536, details: 1 << 20 };

/**
 * An error of the configuration as its caller gets it: all that is wrong as google.rpc.BadRequest, as far as there is room.
 * A dry run's plan stands beside it.
 */
export function toConnectError(
  error: ConfigError,
  room: ErrorRoom,
): ConnectError {
  const violations: readonly Violation[] =
    error.violations.length > 0 || NOBODYS_FAULT.has(error.code)
      ? error.violations
      : [{ kind: "", name: "", field: "", reason: error.message }];
  const plan = error instanceof RefusedDryRun ? error.plan : undefined;
  const fieldViolations = fitting(
    violations,
    plan === undefined ? room.details : Math.floor(room.details / 2),
  );
  const left = room.details - sizeOfAll(fieldViolations);
  return new ConnectError(
    cut(error.message, room.message),
    CODES[error.code],
    undefined,
    [
      ...(violations.length === 0
        ? []
        : [{ desc: BadRequestSchema, value: { fieldViolations } }]),
      ...(plan === undefined
        ? []
        : [{ desc: DryRunPlanSchema, value: fittingPlan(plan, left) }]),
    ],
    error,
  );
}

/** The first of a plan's changes and warnings: half of the room is for the warnings, if they need it. */
function fittingPlan(plan: DryRunPlan, bytes: number): DryRunPlan {
  const within = (room: number) => {
    let left = room;
    return (size: number) => (left -= size + TAG_ROOM) >= 0;
  };
  const warned = within(bytes / 2);
  const warnings = plan.warnings.filter((warning) =>
    warned(toBinary(WarningSchema, warning).length),
  );
  const listed = within(
    bytes -
      warnings.reduce(
        (sum, one) => sum + toBinary(WarningSchema, one).length + TAG_ROOM,
        LAST_ROOM,
      ),
  );
  const changes = plan.changes.filter((change) =>
    listed(toBinary(ChangeSchema, change).length),
  );
  return create(DryRunPlanSchema, { ...plan, warnings, changes });
}

interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

function fitting(
  violations: readonly Violation[],
  bytes: number,
): FieldViolation[] {
  const fitted: FieldViolation[] = [];
  let left = bytes - LAST_ROOM;
  for (const [i, violation] of violations.entries()) {
    const one = fieldViolation(violation);
    left -= TAG_ROOM + sizeOf(one.field) + sizeOf(one.description);
    if (left < 0) {
      const rest = violations.length - i;
      fitted.push({
        field: "",
        description: `and ${rest} more; Connect's JSON (curl, the holdfast command) has room for more of them than gRPC`,
      });
      break;
    }
    fitted.push(one);
  }
  return fitted;
}

/** Left for the line that says how many there was no room for. */
const LAST_ROOM = 160;
/** What protobuf needs around a field violation, at most. */
const TAG_ROOM = 16;

function fieldViolation(violation: Violation): FieldViolation {
  const { reason } = violation;
  // The same words as in messages, without the last part.
  const whole = describeViolation({ ...violation, reason: "" });
  return { field: whole.replace(/(?:: )?$/, ""), description: reason };
}

function sizeOfAll(violations: readonly FieldViolation[]): number {
  return violations.reduce(
    (sum, one) => sum + TAG_ROOM + sizeOf(one.field) + sizeOf(one.description),
    0,
  );
}

function sizeOf(text: string): number {
  return Buffer.byteLength(text);
}

/** The beginning of a text, whole characters only. */
function cut(text: string, bytes: number): string {
  if (sizeOf(text) <= bytes) return text;
  const head = Buffer.from(text)
    .subarray(0, bytes - 4)
    .toString("utf8");
  return `${head.replace(/\uFFFD+$/, "")}…`;
}
