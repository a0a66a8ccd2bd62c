import {
  getOption,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import { secret } from "../gen/holdfast/config/v1/options_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { KINDS, kindOfResource, schemaOf, type Kind } from "./kinds.ts";
import { copyOf, reflectKind } from "./messages.ts";
import { knownPlugin } from "./plugins.ts";
import { withUrlSecrets } from "./url-secrets.ts";
import { isVaultReference } from "./vault-reference.ts";

/** What stands for a secret. */
export const REDACTED = "***";

/** The kinds that may hold a secret; a plugin's and a vault's are in their config. */
const WITH_SECRETS: ReadonlySet<Kind> = new Set(
  KINDS.filter(
    (kind) =>
      kind === "plugin" ||
      kind === "vault" ||
      schemaOf(kind).fields.some((field) => getOption(field, secret)),
  ),
);

/** A secret's text, at a path such as "config.redis.password", becomes another. */
type Replace = (text: string, path: string) => string;

/** The resource to show to people: secrets are "***". It is not copied when it can hold none. */
export function redact(resource: Resource): Resource {
  return holdsSecrets(resource)
    ? withSecrets(resource, () => REDACTED)
    : resource;
}

/** The fields that have "***" where a secret belongs: what was read without its secrets and is put again. */
export function redactedFields(resource: Resource): string[] {
  return secretsThat(resource, (text) => text === REDACTED);
}

/** The fields whose secret is of a certain sort. */
export function secretsThat(
  resource: Resource,
  fits: (text: string) => boolean,
): string[] {
  const fields: string[] = [];
  if (holdsSecrets(resource))
    withSecrets(resource, (text, path) => {
      if (fits(text)) fields.push(path);
      return text;
    });
  return fields;
}

function holdsSecrets(resource: Resource): boolean {
  const kind = kindOfResource(resource);
  return kind !== undefined && WITH_SECRETS.has(kind);
}

/** A copy with all its secrets replaced. */
function withSecrets(resource: Resource, replace: Replace): Resource {
  const copy = copyOf(resource);
  const message = reflectKind(copy);
  for (const field of message?.fields ?? []) {
    if (!getOption(field, secret) || message?.isSet(field) !== true) continue;
    if (field.fieldKind === "scalar")
      message.set(field, replace(String(message.get(field)), field.name));
  }
  if (copy.kind.case === "plugin" && copy.kind.value.config !== undefined) {
    const schema = knownPlugin(copy.kind.value.name)?.schema;
    const { config } = copy.kind.value;
    copy.kind.value.config =
      schema === undefined
        ? inUnknown(config, "config", replace)
        : inKnown(schema, config, "config", replace);
  }
  if (copy.kind.case === "vault" && copy.kind.value.config !== undefined)
    copy.kind.value.config = inUnknown(
      copy.kind.value.config,
      "config",
      replace,
    );
  return copy;
}

function inKnown(
  schema: DescMessage,
  config: JsonObject,
  path: string,
  replace: Replace,
): JsonObject {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      // Configurations are redacted before they are read too, and then may have either spelling.
      const field = schema.fields.find(
        ({ name, jsonName }) => name === key || jsonName === key,
      );
      const at = `${path}.${key}`;
      if (field === undefined) return [key, inPlain(value, at, replace)];
      if (getOption(field, secret)) return [key, inAll(value, at, replace)];
      return field.fieldKind === "message" && isObject(value)
        ? [key, inKnown(field.message, value, at, replace)]
        : [key, inPlain(value, at, replace)];
    }),
  );
}

/** All texts of a value: of a map of headers, say, the names stay. */
function inAll(value: JsonValue, path: string, replace: Replace): JsonValue {
  if (typeof value === "string")
    return value === "" ? value : replace(value, path);
  if (Array.isArray(value))
    return value.map((item, i) => inAll(item, `${path}[${i}]`, replace));
  return isObject(value)
    ? Object.fromEntries(
        Object.entries(value).map(([key, item]) => [
          key,
          inAll(item, `${path}.${key}`, replace),
        ]),
      )
    : value;
}

/** What is no secret as a whole may still have one in it. */
function inPlain(value: JsonValue, path: string, replace: Replace): JsonValue {
  if (typeof value === "string") return inText(value, path, replace);
  if (Array.isArray(value))
    return value.map((item, i) => inPlain(item, `${path}[${i}]`, replace));
  return isObject(value)
    ? Object.fromEntries(
        Object.entries(value).map(([key, item]) => [
          key,
          inPlain(item, `${path}.${key}`, replace),
        ]),
      )
    : value;
}

/** What is secret in URLs; of a header or an argument to send, "authorization: Bearer x", the value. */
function inText(text: string, path: string, replace: Replace): string {
  const [, name = "", gap = "", value = ""] = NAMED_VALUE.exec(text) ?? [];
  // What is renamed has another name there.
  if (value !== "" && soundsSecret(name) && !path.startsWith("config.rename."))
    return `${name}${gap}${replace(value, path)}`;
  // What is told there is where a secret is, not the secret.
  if (isVaultReference(text)) return text;
  const hide = (part: string): string => replace(part, path);
  return URL_IN_HEADER.test(value)
    ? `${name}${gap}${withUrlSecrets(value, hide)}`
    : withUrlSecrets(text, hide);
}

/** The value of a header, and not the rest of what begins with a URL's scheme. */
const URL_IN_HEADER = /^[a-z][a-z0-9+.-]*:\/\//i;

const NAMED_VALUE = /^(\s*[^\s:]+)(\s*:\s*)(\S.*)$/s;

/** Nobody told us what is secret in it: all below a key that sounds so is. */
function inUnknown(
  config: JsonObject,
  path: string,
  replace: Replace,
): JsonObject {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      (soundsSecret(key) ? inAll : inUnknownValue)(
        value,
        `${path}.${key}`,
        replace,
      ),
    ]),
  );
}

function inUnknownValue(
  value: JsonValue,
  path: string,
  replace: Replace,
): JsonValue {
  if (typeof value === "string") return inText(value, path, replace);
  if (Array.isArray(value))
    return value.map((item, i) =>
      inUnknownValue(item, `${path}[${i}]`, replace),
    );
  return isObject(value) ? inUnknown(value, path, replace) : value;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** However its words are put together: client_secret, clientSecret, X-Api-Key. */
function soundsSecret(key: string): boolean {
  return SECRET_KEY.test(key.replace(/[^a-z0-9]/gi, ""));
}

/** A key is secret only when it says what for: the key of a cache, or of a map, is not. */
const SECRET_KEY =
  /(^pass|^pwd|authorization|cookies?|credentials?|passphrases?|passwords?|passwd|secrets?|secretids?|tokens?|(access|account|api|auth|client|encryption|hmac|master|private|secret|session|shared|signing|ssl|tls)keys?)$/i;
