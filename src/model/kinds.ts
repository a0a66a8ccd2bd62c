import "./exact-text.ts";
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../gen/holdfast/config/v1/resource_pb.js";

/** What sort of resource something is: the name of its field in the `Resource` message. */
export type Kind =
  | "vault"
  | "ca_certificate"
  | "certificate"
  | "sni"
  | "service"
  | "route"
  | "upstream"
  | "target"
  | "consumer"
  | "consumer_group"
  | "consumer_group_consumer"
  | "keyauth_credential"
  | "basicauth_credential"
  | "jwt_secret"
  | "oauth2_credential"
  | "hmacauth_credential"
  | "acl"
  | "plugin";

/** All kinds; what is referred to comes before what refers to it. */
export const KINDS: readonly Kind[] = [
  "vault",
  "ca_certificate",
  "certificate",
  "sni",
  "service",
  "route",
  "upstream",
  "target",
  "consumer",
  "consumer_group",
  "consumer_group_consumer",
  "keyauth_credential",
  "basicauth_credential",
  "jwt_secret",
  "oauth2_credential",
  "hmacauth_credential",
  "acl",
  "plugin",
];

/** The plural of a kind: its name in declarative files. */
export function pluralOf(kind: Kind): string {
  return `${kind}s`;
}

const byWord = new Map<string, Kind>(
  KINDS.flatMap((kind) => [
    [kind, kind],
    [pluralOf(kind), kind],
  ]),
);

/** The kind that a word names, in the singular or the plural. */
export function kindOf(word: string): Kind | undefined {
  return byWord.get(word);
}

const fieldByKind = new Map<Kind, DescField & { message: DescMessage }>();
const kindByCase = new Map<string, Kind>();
for (const kind of KINDS) {
  const field = ResourceSchema.fields.find((f) => f.name === kind);
  if (field?.fieldKind !== "message")
    throw new TypeError(`kind ${kind} is not a field of Resource`);
  fieldByKind.set(kind, field);
  kindByCase.set(field.localName, kind);
}

/** The message of a kind. */
export function schemaOf(kind: Kind): DescMessage {
  const field = fieldByKind.get(kind);
  if (field === undefined) throw new TypeError(`unknown kind ${kind}`);
  return field.message;
}

/** The kind's name in generated code: `keyauthCredential`. */
export function caseOf(kind: Kind): NonNullable<Resource["kind"]["case"]> {
  const field = fieldByKind.get(kind);
  if (field === undefined) throw new TypeError(`unknown kind ${kind}`);
  return field.localName as NonNullable<Resource["kind"]["case"]>;
}

/** The kind of a resource; undefined when none is set. */
export function kindOfResource(resource: Resource): Kind | undefined {
  return resource.kind.case === undefined
    ? undefined
    : kindByCase.get(resource.kind.case);
}

/** The key of an entry: `kind/id`, the id in lower case. */
export function keyOf(kind: Kind, id: string): string {
  return `${kind}/${id.toLowerCase()}`;
}

/** Takes a key apart; undefined when it is not one. */
export function parseKey(
  key: string,
): { readonly kind: Kind; readonly id: string } | undefined {
  const slash = key.indexOf("/");
  const kind = byWord.get(key.slice(0, Math.max(slash, 0)));
  const id = key.slice(slash + 1);
  if (kind === undefined || !key.startsWith(`${kind}/`)) return undefined;
  return UUID.test(id) ? { kind, id } : undefined;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
