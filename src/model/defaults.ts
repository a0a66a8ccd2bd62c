import { getOption, type DescField } from "@bufbuild/protobuf";
import {
  input_only,
  output_only,
} from "../gen/holdfast/config/v1/options_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { fillMessageDefaults } from "./default-values.ts";
import { KINDS, kindOfResource, schemaOf } from "./kinds.ts";
import { copyOf, reflectKind } from "./messages.ts";
import { normalise } from "./normalise.ts";

/**
 * The resource with all defaults written out and everything in its one normal form: what is checked, stored, hashed and
 * answered. That is: ids in lower case; `Service.url` taken apart; an upstream's algorithm and hash settled; "host:port"
 * of targets; digests of CA certificates; the configuration of known plugins as their messages write it. What cannot be
 * read stays as it is, for `checkResource` to say so. Doing it twice changes nothing.
 */
export function fillDefaults(resource: Resource): Resource {
  const filled = copyOf(resource);
  const kind = kindOfResource(filled);
  if (kind === undefined || filled.kind.value === undefined) return filled;
  normalise(filled);
  fillMessageDefaults(schemaOf(kind), filled.kind.value);
  return filled;
}

const transient = new Set<DescField>(
  KINDS.flatMap((kind) => schemaOf(kind).fields).filter(
    (field) => getOption(field, input_only) || getOption(field, output_only),
  ),
);

/**
 * A resource without the fields that are read from requests only, or filled in for answers only: what is stored. Itself
 * when it has none of them, and else a copy.
 */
export function stripInputOutput(resource: Resource): Resource {
  const own = reflectKind(resource);
  if (
    own?.fields.some((field) => transient.has(field) && own.isSet(field)) !==
    true
  )
    return resource;
  const copy = copyOf(resource);
  const message = reflectKind(copy);
  for (const field of message?.fields ?? [])
    if (transient.has(field)) message?.clear(field);
  return copy;
}
