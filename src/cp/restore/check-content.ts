import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults } from "../../model/defaults.ts";
import { keyOf, kindOfResource } from "../../model/kinds.ts";
import { idOf } from "../../model/messages.ts";
import { checkResource } from "../../model/rules.ts";
import type { Slices } from "../../model/slices.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Violation } from "../../model/violation.ts";
import { decodeResource, factsOf, labelOf } from "../catalog/resource.ts";

/** Checking one resource costs about as much as handling this many entries. */
const CHECK_WEIGHT = 64;

/** Violations collected, at most: there may be one for each of a million entries. */
const COLLECTED = 1000;

/**
 * What in a snapshot this build's catalog would not have accepted: a root proves that the bytes are those that somebody
 * wrote, not that they are a configuration.
 */
export function* checkContentSlices(snapshot: Snapshot): Slices<Violation[]> {
  const found: Violation[] = [];
  const owners = new Map<string, string>();
  for (const { key, value } of snapshot.entries()) {
    yield CHECK_WEIGHT;
    if (found.length >= COLLECTED) break;
    const resource = decoded(value);
    if (resource === undefined) {
      found.push(violation(key, "", "is no resource that this build can read"));
      continue;
    }
    const kind = kindOfResource(resource);
    if (kind === undefined || keyOf(kind, idOf(resource)) !== key) {
      found.push(violation(key, "", "has another kind or id than its key"));
      continue;
    }
    // What an older build stored may lack a default that came since.
    found.push(...checkResource(fillDefaults(resource), value.length));
    const { unique, refers } = factsOf(resource);
    for (const referred of refers)
      if (snapshot.get(referred) === undefined)
        found.push({
          ...labelOf(resource),
          field: "",
          reason: `refers to ${referred}, which does not exist`,
        });
    for (const { key: claimed, describe } of unique) {
      const owner = owners.get(claimed);
      owners.set(claimed, key);
      if (owner !== undefined)
        found.push({
          ...labelOf(resource),
          field: "",
          reason: `${describe} is that of ${owner} already`,
        });
    }
  }
  return found;
}

function decoded(value: Uint8Array): Resource | undefined {
  try {
    return decodeResource(value);
  } catch {
    return undefined;
  }
}

function violation(name: string, field: string, reason: string): Violation {
  return { kind: "entry", name, field, reason };
}
