import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { Violation } from "../../model/violation.ts";
import { labelOf } from "./resource.ts";

/**
 * What is wrong when a plugin that is there would become another one. Its name says which of its configuration is
 * secret: under another name that would be shown in clear.
 */
export function renamedPlugin(
  before: Resource,
  after: Resource,
): Violation | undefined {
  if (before.kind.case !== "plugin" || after.kind.case !== "plugin")
    return undefined;
  if (before.kind.value.name === after.kind.value.name) return undefined;
  return {
    ...labelOf(before),
    field: "name",
    reason: "cannot be changed: delete the plugin and make another one",
  };
}
