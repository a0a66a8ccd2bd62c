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
 * A deep copy. Protobuf's own would throw for text that is not well-formed and lose a Struct's key "__proto__", both
 * before a rule can refuse them.
 */
export function copyOf(resource: Resource): Resource {
  return deepCopy(resource);
}

function deepCopy<T>(value: T): T {
  if (Array.isArray(value)) return value.map(deepCopy) as T;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return value.slice() as T;
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value))
    if (key === "__proto__")
      Object.defineProperty(copy, key, { value: item, enumerable: true });
    else copy[key] = deepCopy(item);
  return copy as T;
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
