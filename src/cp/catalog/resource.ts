import { fromBinary } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../gen/holdfast/config/v1/resource_pb.js";
import {
  keyOf,
  kindOfResource,
  parseKey,
  type Kind,
} from "../../model/kinds.ts";
import { idOf } from "../../model/messages.ts";
import { referencesOf } from "../../model/references.ts";
import { nameOf, uniqueKeys, type UniqueKey } from "../../model/unique.ts";
import type { EntryTimes } from "../store/store.ts";

/** The resource that a stored value holds. */
export function decodeResource(value: Uint8Array): Resource {
  return fromBinary(ResourceSchema, value);
}

/** Puts times, in seconds, into a resource that was just decoded. */
export function fillTimes(
  resource: Resource,
  times: EntryTimes | undefined,
): Resource {
  if (times === undefined || resource.kind.value === undefined) return resource;
  resource.kind.value.createdAt = times.createdMs / 1000;
  resource.kind.value.updatedAt = times.updatedMs / 1000;
  return resource;
}

/** The key of an entry, taken apart. Only for keys of a store, which are all well-formed. */
export function partsOf(key: string): {
  readonly kind: Kind;
  readonly id: string;
} {
  const parts = parseKey(key);
  if (parts === undefined)
    throw new TypeError(`"${key}" is not an entry's key`);
  return parts;
}

/** Who a resource is, for messages. The name is its id when it has none. */
export function labelOf(resource: Resource): {
  readonly kind: string;
  readonly name: string;
} {
  const name = nameOf(resource);
  return {
    kind: kindOfResource(resource) ?? "",
    name: name === "" ? idOf(resource) : name,
  };
}

/** One resource for people, with its id when that is not its name already: `service "pay" (id 6f…)`. */
export function describeResource(resource: Resource): string {
  const { kind, name } = labelOf(resource);
  const id = idOf(resource);
  return name === id || id === ""
    ? `${kind} "${name}"`
    : `${kind} "${name}" (id ${id})`;
}

/** What a resource, its references by id, means to others. */
export interface Facts {
  /** What it claims for itself alone. */
  readonly unique: readonly UniqueKey[];
  /** The keys of the entries it refers to, each once. */
  readonly refers: readonly string[];
}

/** Reads the facts off a resource. */
export function factsOf(resource: Resource): Facts {
  const refers = referencesOf(resource).flatMap(({ kind, ref }) =>
    ref.id === undefined ? [] : [keyOf(kind, ref.id)],
  );
  return { unique: uniqueKeys(resource), refers: [...new Set(refers)] };
}
