import { clone } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import {
  ResourceSchema,
  type Resource,
} from "../gen/holdfast/config/v1/resource_pb.js";

/** The id of a resource; empty when it has none or no kind is set. */
export function idOf(resource: Resource): string {
  return resource.kind.value?.id ?? "";
}

/**
 * A deep copy. Except of a plugin's config, which is shared: nothing changes one in place, and protobuf's copy would lose a
 * key "__proto__" before a rule can refuse it.
 */
export function copyOf(resource: Resource): Resource {
  const copy = clone(ResourceSchema, resource);
  if (copy.kind.case === "plugin" && resource.kind.case === "plugin")
    copy.kind.value.config = resource.kind.value.config;
  return copy;
}

/** A copy with this id, in lower case. */
export function withId(resource: Resource, id: string): Resource {
  const copy = copyOf(resource);
  if (copy.kind.value !== undefined) copy.kind.value.id = id.toLowerCase();
  return copy;
}

/** A copy without an id. */
export function withoutId(resource: Resource): Resource {
  return withId(resource, "");
}

/** The message of a resource's kind, for code that works on any kind; undefined when no kind is set. */
export function reflectKind(resource: Resource): ReflectMessage | undefined {
  const outer = reflect(ResourceSchema, resource);
  const oneof = ResourceSchema.oneofs[0];
  const field = oneof && outer.oneofCase(oneof);
  return field?.fieldKind === "message" ? outer.get(field) : undefined;
}
