import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";

/** Nobody knows who calls. `reason` has nothing of what was presented. */
export function unauthenticated(reason: string): ConnectError {
  return refusal(Code.Unauthenticated, "authorization", reason);
}

/** It is known who calls, and they may not do that. */
export function permissionDenied(field: string, reason: string): ConnectError {
  return refusal(Code.PermissionDenied, field, reason);
}

function refusal(code: Code, field: string, reason: string): ConnectError {
  return new ConnectError(`${field}: ${reason}`, code, undefined, [
    {
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field, description: reason }] },
    },
  ]);
}
