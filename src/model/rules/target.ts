import type { Target } from "../../gen/holdfast/config/v1/upstream_pb.js";
import type { Problem } from "../problem.ts";
import { parseTarget } from "../targets.ts";

/** What is wrong with a target beyond the rules of its single fields. */
export function targetProblems({ target }: Target): Problem[] {
  const parsed = target === "" ? undefined : parseTarget(target);
  return parsed?.ok === false
    ? [{ field: "target", reason: parsed.reason }]
    : [];
}
