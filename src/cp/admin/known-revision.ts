import { ConfigError } from "../../model/violation.ts";

/** @throws ConfigError when there is no such revision yet. */
export function knownRevision(
  field: string,
  revision: bigint,
  head: bigint,
): void {
  if (revision > head)
    throw ConfigError.of("not_found", [
      {
        kind: "",
        name: "",
        field,
        reason: `there is no revision ${revision}; the newest is ${head}`,
      },
    ]);
}
