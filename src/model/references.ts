import { getOption, type DescField } from "@bufbuild/protobuf";
import { reference_to } from "../gen/holdfast/config/v1/options_pb.js";
import { type Reference } from "../gen/holdfast/config/v1/reference_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { KINDS, kindOf, kindOfResource, schemaOf, type Kind } from "./kinds.ts";
import { copyOf, reflectKind } from "./messages.ts";

/** What a resource refers to by one of its fields. */
export interface ResourceReference {
  /** "service", "ca_certificates[0]". */
  readonly field: string;
  /** Of what is referred to. */
  readonly kind: Kind;
  /** One of both; the id wins. */
  readonly ref: { readonly id?: string; readonly name?: string };
}

/** All references of a resource. */
export function referencesOf(resource: Resource): ResourceReference[] {
  const found: ResourceReference[] = [];
  // Not by reflection, which copies: this is read off every entry of a configuration at a start.
  const fields = resource.kind.value as
    Readonly<Record<string, unknown>> | undefined;
  if (fields === undefined) return found;
  for (const { field, kind } of referenceFields(resource)) {
    const value = fields[field.localName];
    if (field.fieldKind === "list")
      for (const [i, id] of (value as readonly string[]).entries())
        found.push({ field: `${field.name}[${i}]`, kind, ref: { id } });
    else if (field.fieldKind === "message" && value !== undefined) {
      const { id, name } = value as Reference;
      const ref = id === "" ? { name } : { id: id.toLowerCase() };
      found.push({ field: field.name, kind, ref });
    }
  }
  return found;
}

/** What is wrong with a reference that leads nowhere, and what to do. */
export function describeMissing({ kind, ref }: ResourceReference): string {
  const who =
    ref.id === undefined ? `"${ref.name ?? ""}"` : `with id ${ref.id}`;
  return `no ${kind} ${who}: create it first, or earlier in the same transaction`;
}

/** A copy whose references are by id only. One that `resolve` does not know stays as it is. */
export function withResolved(
  resource: Resource,
  resolve: (reference: ResourceReference) => string | undefined,
): Resource {
  const copy = copyOf(resource);
  mapReferences(copy, (reference, field, kind) => {
    const { id, name } = reference;
    const ref = id === "" ? { name } : { id: id.toLowerCase() };
    const found = resolve({ field, kind, ref });
    return found === undefined
      ? reference
      : { id: found.toLowerCase(), name: "" };
  });
  return copy;
}

/** Replaces each reference of a resource, in place. */
export function mapReferences(
  resource: Resource,
  map: (
    reference: { readonly id: string; readonly name: string },
    field: string,
    kind: Kind,
  ) => { readonly id: string; readonly name: string },
): void {
  const message = reflectKind(resource);
  if (message === undefined) return;
  for (const { field, kind } of referenceFields(resource)) {
    if (field.fieldKind === "list") {
      const list = message.get(field);
      for (let i = 0; i < list.size; i++) {
        const id = String(list.get(i));
        const mapped = map({ id, name: "" }, `${field.name}[${i}]`, kind).id;
        if (mapped !== id) list.set(i, mapped);
      }
    } else if (field.fieldKind === "message" && message.isSet(field)) {
      const reference = message.get(field).message as Reference;
      const mapped = map(reference, field.name, kind);
      reference.id = mapped.id;
      reference.name = mapped.name;
    }
  }
}

/** A field that refers to another resource, or to several. */
export interface ReferenceField {
  readonly field: DescField;
  readonly kind: Kind;
}

const fieldsByKind = new Map<Kind, readonly ReferenceField[]>(
  KINDS.map((kind) => [
    kind,
    schemaOf(kind).fields.flatMap((field) => {
      const word = getOption(field, reference_to);
      const target = kindOf(word);
      if (word !== "" && target === undefined)
        throw new TypeError(`${String(field)} refers to unknown kind ${word}`);
      return target === undefined ? [] : [{ field, kind: target }];
    }),
  ]),
);

/** The fields of a kind that refer to other resources. */
export function referenceFieldsOf(kind: Kind): readonly ReferenceField[] {
  return fieldsByKind.get(kind) ?? [];
}

function referenceFields(resource: Resource): readonly ReferenceField[] {
  const kind = kindOfResource(resource);
  return kind === undefined ? [] : referenceFieldsOf(kind);
}

/** What happens to the resources of `referrer` that refer to a resource of `kind` when that one is deleted. */
export function onDelete(kind: Kind, referrer: Kind): "cascade" | "restrict" {
  return CASCADES[kind]?.includes(referrer) === true ? "cascade" : "restrict";
}

/** What belongs to a resource and goes with it. Anything else that refers to it keeps it from being deleted. */
const CASCADES: Partial<Record<Kind, readonly Kind[]>> = {
  certificate: ["sni"],
  service: ["plugin"],
  route: ["plugin"],
  upstream: ["target"],
  consumer: [
    "plugin",
    "keyauth_credential",
    "basicauth_credential",
    "jwt_secret",
    "oauth2_credential",
    "hmacauth_credential",
    "acl",
    "consumer_group_consumer",
  ],
  consumer_group: ["plugin", "consumer_group_consumer"],
};
