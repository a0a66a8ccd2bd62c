import { getOption, type DescField } from "@bufbuild/protobuf";
import {
  input_only,
  output_only,
  reference_to,
} from "../../gen/holdfast/config/v1/options_pb.js";
import { ReferenceSchema } from "../../gen/holdfast/config/v1/reference_pb.js";
import { KINDS, kindOf, pluralOf, schemaOf, type Kind } from "../kinds.ts";

/** Keys that say nothing to a gateway, at the top and in every entity. */
export const REMARKS: ReadonlySet<string> = new Set(["_comment", "_ignore"]);

/** How a key of an entity is read. */
export type EntityKey =
  | { readonly type: "remark" }
  /** Accepted and dropped: times come from the store's log. */
  | { readonly type: "time" }
  | { readonly type: "id" }
  | { readonly type: "field"; readonly field: DescField }
  | {
      readonly type: "reference";
      readonly field: DescField;
      readonly to: Kind;
    }
  /** A list of entities of another kind; `field` is their reference to this one. */
  | { readonly type: "children"; readonly kind: Kind; readonly field: string }
  /** A list of names, each of which is an entity of `kind` that ties this one (`field`) to the one named (`other`). */
  | {
      readonly type: "members";
      readonly kind: Kind;
      readonly field: string;
      readonly other: DescField;
      readonly to: Kind;
    };

/** The keys of entities of a kind. */
export function keysOf(kind: Kind): ReadonlyMap<string, EntityKey> {
  return KEYS.get(kind) ?? new Map<string, EntityKey>();
}

/** decK has memberships as lists of names on either side. */
const MEMBERS = [
  {
    of: "consumer",
    key: "groups",
    field: "consumer",
    other: "consumer_group",
  },
  {
    of: "consumer_group",
    key: "consumers",
    field: "consumer_group",
    other: "consumer",
  },
] as const;

const KEYS = new Map<Kind, ReadonlyMap<string, EntityKey>>(
  KINDS.map((kind) => [kind, buildKeys(kind)]),
);

function buildKeys(kind: Kind): ReadonlyMap<string, EntityKey> {
  const keys = new Map<string, EntityKey>();
  for (const remark of REMARKS) keys.set(remark, { type: "remark" });
  for (const child of KINDS) {
    const field = schemaOf(child).fields.find((f) => referredKind(f) === kind);
    if (field !== undefined)
      keys.set(pluralOf(child), {
        type: "children",
        kind: child,
        field: field.name,
      });
  }
  for (const { of, key, field, other } of MEMBERS)
    if (of === kind) keys.set(key, membersKey(field, other));
  for (const field of schemaOf(kind).fields)
    keys.set(field.name, keyOf(field, keys));
  return keys;
}

function membersKey(field: string, otherName: Kind): EntityKey {
  const kind = "consumer_group_consumer";
  const other = schemaOf(kind).fields.find(({ name }) => name === otherName);
  if (other === undefined) throw new TypeError(`${kind} has no ${otherName}`);
  return { type: "members", kind, field, other, to: otherName };
}

function keyOf(
  field: DescField,
  keys: ReadonlyMap<string, EntityKey>,
): EntityKey {
  if (field.name === "id") return { type: "id" };
  if (getOption(field, output_only)) return { type: "time" };
  // In files `certificates[].snis` holds entities.
  const children = keys.get(field.name);
  if (children !== undefined && getOption(field, input_only)) return children;
  const to = referredKind(field);
  return to === undefined
    ? { type: "field", field }
    : { type: "reference", field, to };
}

/** The kind that a single reference field points to. */
function referredKind(field: DescField): Kind | undefined {
  return field.fieldKind === "message" &&
    field.message.typeName === ReferenceSchema.typeName
    ? kindOf(getOption(field, reference_to))
    : undefined;
}

/** What an entity is called by in messages, the best first. A key of key-auth is a secret. */
export const NAME_KEYS: Readonly<Record<Kind, readonly string[]>> = {
  vault: ["prefix", "id"],
  ca_certificate: ["id"],
  certificate: ["id"],
  sni: ["name"],
  service: ["name", "id"],
  route: ["name", "id"],
  upstream: ["name", "id"],
  target: ["target", "id"],
  consumer: ["username", "custom_id", "id"],
  consumer_group: ["name", "id"],
  consumer_group_consumer: ["id"],
  keyauth_credential: ["id"],
  basicauth_credential: ["username", "id"],
  jwt_secret: ["key", "id"],
  oauth2_credential: ["client_id", "name", "id"],
  hmacauth_credential: ["username", "id"],
  acl: ["group", "id"],
  plugin: ["instance_name", "name", "id"],
};

/** Lists of entities that Kong, its Enterprise edition or decK know and Holdfast does not have. */
const UNSUPPORTED_KINDS: ReadonlySet<string> = new Set([
  "cloned_plugins",
  "consumer_group_plugins",
  "custom_entities",
  "custom_plugins",
  "degraphql_routes",
  "event_hooks",
  "filter_chains",
  "graphql_ratelimiting_cost_decorations",
  "jwt_signer_jwks",
  "key_sets",
  "keyring_keys",
  "keyring_meta",
  "keys",
  "licenses",
  "mtls_auth_credentials",
  "oauth2_authorization_codes",
  "oauth2_tokens",
  "partials",
  "plugins_partials",
  "rbac_role_endpoints",
  "rbac_role_entities",
  "rbac_roles",
  "rbac_users",
  "service_packages",
  "sessions",
  "tags",
  "workspaces",
]);

const UNSUPPORTED_FIELDS: Partial<Record<Kind, ReadonlySet<string>>> = {
  plugin: new Set(["condition", "ordering", "partials", "run_on"]),
  service: new Set(["tls_sans"]),
  target: new Set(["failover"]),
  upstream: new Set(["sticky_sessions_cookie", "sticky_sessions_cookie_path"]),
};

/** Why a key that is known elsewhere is refused at the top of a file; undefined when nobody knows it. */
export function unsupportedTopLevel(key: string): string | undefined {
  return UNSUPPORTED_KINDS.has(key)
    ? "this kind of entity is not supported yet"
    : undefined;
}

/** Why a key that is known elsewhere is refused in an entity; undefined when nobody knows it. */
export function unsupportedInEntity(
  kind: Kind,
  key: string,
): string | undefined {
  if (UNSUPPORTED_FIELDS[kind]?.has(key) === true)
    return "this field is not supported yet";
  return UNSUPPORTED_KINDS.has(key)
    ? "this kind of entity is not supported yet"
    : undefined;
}
