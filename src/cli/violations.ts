import type { Violation } from "../gen/holdfast/admin/v1/config_service_pb.js";
import { describeViolation } from "../model/violation.ts";
import { Failure } from "./io.ts";
import { printable } from "./table.ts";

/** @throws Failure with everything that keeps what was tried from being done, when there is anything. */
export function refuseViolations(violations: readonly Violation[]): void {
  if (violations.length === 0) return;
  const count = violations.length;
  throw new Failure(
    [
      `would be refused, with ${count} ${count === 1 ? "problem" : "problems"}:`,
      ...violations.map((one) => `  ${printable(describeViolation(one))}`),
    ].join("\n"),
  );
}
