import type { DryRunPlan } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { ConfigError } from "../../model/violation.ts";

/** A dry run fails as the call itself would, and tells what it would have done. */
export class RefusedDryRun extends ConfigError {
  readonly plan: DryRunPlan;

  constructor({ code, message, violations }: ConfigError, plan: DryRunPlan) {
    super(code, message, { violations });
    this.plan = plan;
  }
}
