import { createHash } from "node:crypto";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { encodeResource } from "./encode.ts";
import { kindOfResource, pluralOf, type Kind } from "./kinds.ts";
import { withoutId } from "./messages.ts";

/** The namespace of all ids that follow from a name, the same as Kong's. */
const NAMESPACE = "fd02801f-0957-4a15-a55a-c8d9606f30b5";

/** Whether a text is a UUID, in either case. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The UUID, version 5, of a name in a namespace. */
export function uuidV5(namespace: string, name: string): string {
  const hash = createHash("sha1")
    .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
    .update(name, "utf8")
    .digest()
    .subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  return hash
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The id that follows from a kind and a key within it. */
export function idOfKey(kind: Kind, key: string): string {
  return uuidV5(uuidV5(NAMESPACE, pluralOf(kind)), key);
}

/**
 * The id of a resource from a file that gives it none: the same file gives the same ids, so that applying it twice
 * changes nothing. Kong's rule where it has one that does not depend on chance, else one of our own (see
 * `deterministicKey`). References must be by id and defaults filled. Two resources that are the same in everything get
 * the same id; `ordinal` tells the second (1) and later ones apart.
 */
export function deterministicId(resource: Resource, ordinal = 0): string {
  const kind = kindOfResource(resource);
  if (kind === undefined) throw new TypeError("a resource without a kind");
  const key = deterministicKey(resource) ?? contentKey(resource);
  return idOfKey(kind, ordinal === 0 ? key : `${key}\0${ordinal}`);
}

/** The key that Kong, or else we, derive the id from; undefined when there is none but the whole content. */
function deterministicKey(resource: Resource): string | undefined {
  const { kind } = resource;
  switch (kind.case) {
    case "service":
    case "route":
    case "upstream":
    case "sni":
    case "consumerGroup":
      return nonEmpty(kind.value.name);
    case "consumer":
      // A custom_id alone: marked, because it may equal another consumer's username.
      return (
        nonEmpty(kind.value.username) ??
        (kind.value.customId === ""
          ? undefined
          : `custom_id\0${kind.value.customId}`)
      );
    case "plugin":
      return cacheKey(
        "plugins",
        kind.value.name,
        kind.value.route?.id,
        kind.value.service?.id,
        kind.value.consumer?.id,
        // Only where there is one: the others have had their ids for longer than there are groups.
        ...(kind.value.consumerGroup === undefined
          ? []
          : [kind.value.consumerGroup.id]),
      );
    case "target":
      return cacheKey("targets", kind.value.upstream?.id, kind.value.target);
    case "acl":
      return cacheKey("acls", kind.value.consumer?.id, kind.value.group);
    case "consumerGroupConsumer":
      return cacheKey(
        "consumer_group_consumers",
        kind.value.consumerGroup?.id,
        kind.value.consumer?.id,
      );
    case "basicauthCredential":
      return cacheKey("basicauth_credentials", kind.value.username);
    case "hmacauthCredential":
      return cacheKey("hmacauth_credentials", kind.value.username);
    case "oauth2Credential":
      return nonEmpty(kind.value.clientId);
    case "vault":
      return cacheKey("vaults", kind.value.prefix);
    case "keyauthCredential":
    case "jwtSecret":
      return nonEmpty(kind.value.key);
    case "caCertificate":
      return nonEmpty(kind.value.certDigest);
    case "certificate":
    case undefined:
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** Kong's cache key of a kind whose identity is several fields; "*" stands for the workspace. */
function cacheKey(
  plural: string,
  ...values: readonly (string | undefined)[]
): string {
  return [plural, "*", ...values.map((value) => value ?? "")].join(":");
}

/** For what has no name: a hash of everything but the id. References to the parent are part of it. */
function contentKey(resource: Resource): string {
  return createHash("sha256")
    .update(encodeResource(withoutId(resource)))
    .digest("hex");
}

function nonEmpty(text: string): string | undefined {
  return text === "" ? undefined : text;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
