import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { redact } from "../../model/redact.ts";

/** Makes of a stored resource what its caller gets to see. */
export type Show = (resource: Resource) => Resource;

/** What a request asks for: secrets in clear, or "***" in their place. */
export function showing({
  includeSecrets,
}: {
  readonly includeSecrets: boolean;
}): Show {
  return includeSecrets ? (resource) => resource : redact;
}
