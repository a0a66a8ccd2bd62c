import { createHash } from "node:crypto";
import type { Plugin } from "../gen/holdfast/config/v1/plugin_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "./kinds.ts";
import { show } from "./problem.ts";

/** Something that only one resource of a workspace can have. */
export interface UniqueKey {
  /** The same for two resources that cannot both exist. Secrets are in it as hashes only. */
  readonly key: string;
  /** The fields that make it. */
  readonly fields: readonly string[];
  /** What is taken, for people: `name "pay"`. */
  readonly describe: string;
}

/** What a resource claims for itself alone; its references must be by id. What is unset claims nothing. */
export function uniqueKeys(resource: Resource): UniqueKey[] {
  const { kind } = resource;
  switch (kind.case) {
    case "service":
    case "route":
    case "upstream":
      return one(kind.case, "name", kind.value.name);
    case "consumerGroup":
      return one("consumer_group", "name", kind.value.name);
    case "sni":
      return one("sni", "name", kind.value.name.toLowerCase());
    case "consumer":
      return [
        ...one("consumer", "username", kind.value.username),
        ...one("consumer", "custom_id", kind.value.customId),
      ];
    case "plugin":
      return [
        pluginScope(kind.value),
        ...one("plugin", "instance_name", kind.value.instanceName),
      ];
    case "target": {
      const { upstream, target } = kind.value;
      const id = upstream?.id ?? "";
      return [
        {
          key: keyOf("target", "target", id, target),
          fields: ["upstream", "target"],
          describe: `target ${show(target)} of upstream ${id}`,
        },
      ];
    }
    case "acl": {
      const { consumer, group } = kind.value;
      const id = consumer?.id ?? "";
      return [
        {
          key: keyOf("acl", "group", id, group),
          fields: ["consumer", "group"],
          describe: `group ${show(group)} of consumer ${id}`,
        },
      ];
    }
    case "consumerGroupConsumer": {
      const consumer = kind.value.consumer?.id ?? "";
      const group = kind.value.consumerGroup?.id ?? "";
      return [
        {
          key: keyOf("consumer_group_consumer", "member", consumer, group),
          fields: ["consumer", "consumer_group"],
          describe: `the membership of consumer ${consumer} in consumer_group ${group}`,
        },
      ];
    }
    case "keyauthCredential":
      return kind.value.key === ""
        ? []
        : [
            {
              key: keyOf("keyauth_credential", "key", hashOf(kind.value.key)),
              fields: ["key"],
              describe: "this key",
            },
          ];
    case "basicauthCredential":
      return one("basicauth_credential", "username", kind.value.username);
    case "jwtSecret":
      return one("jwt_secret", "key", kind.value.key);
    case "oauth2Credential":
      return one("oauth2_credential", "client_id", kind.value.clientId);
    case "hmacauthCredential":
      return one("hmacauth_credential", "username", kind.value.username);
    case "vault":
      return one("vault", "prefix", kind.value.prefix);
    case "caCertificate":
      return one("ca_certificate", "cert_digest", kind.value.certDigest);
    case "certificate":
    case undefined:
      return [];
    default:
      return kind satisfies never;
  }
}

/**
 * The unique key by which a Put without an id finds the resource it replaces: the name of its kind; of a plugin its name
 * and scope. Undefined when the kind has none, or the resource does not give it.
 */
export function naturalKey(resource: Resource): string | undefined {
  return uniqueKeys(resource)[0]?.key;
}

/**
 * What people call a resource: the key of its kind. Empty when it has none. The key of a keyauth_credential is a secret,
 * so that one is called by its id.
 */
export function nameOf(resource: Resource): string {
  const { kind } = resource;
  switch (kind.case) {
    case "service":
    case "route":
    case "upstream":
    case "sni":
    case "consumerGroup":
      return kind.value.name;
    case "consumer":
      return kind.value.username === ""
        ? kind.value.customId
        : kind.value.username;
    case "plugin":
      return kind.value.instanceName === ""
        ? kind.value.name
        : kind.value.instanceName;
    case "target":
      return kind.value.target;
    case "acl":
      return kind.value.group;
    case "basicauthCredential":
    case "hmacauthCredential":
      return kind.value.username;
    case "jwtSecret":
      return kind.value.key;
    case "oauth2Credential":
      return kind.value.clientId;
    case "vault":
      return kind.value.prefix;
    case "caCertificate":
      return kind.value.certDigest;
    case "keyauthCredential":
    case "certificate":
    case "consumerGroupConsumer":
      return kind.value.id;
    case undefined:
      return "";
    default:
      return kind satisfies never;
  }
}

/** Whether the name that resources of a kind are found by is a secret: whoever finds one knows that it is right. */
export function isNamedBySecret(kind: Kind): boolean {
  return kind === "keyauth_credential";
}

/** The unique keys that a name may mean, the likeliest first: for reading, deleting and referring by name. */
export function lookupKey(kind: Kind, name: string): string[] {
  switch (kind) {
    case "service":
    case "route":
    case "upstream":
    case "consumer_group":
      return [keyOf(kind, "name", name)];
    case "sni":
      return [keyOf("sni", "name", name.toLowerCase())];
    case "consumer":
      return [
        keyOf("consumer", "username", name),
        keyOf("consumer", "custom_id", name),
      ];
    case "plugin":
      return [
        keyOf("plugin", "instance_name", name),
        keyOf("plugin", "scope", "", "", "", "", name),
      ];
    case "keyauth_credential":
      return [keyOf("keyauth_credential", "key", hashOf(name))];
    case "basicauth_credential":
    case "hmacauth_credential":
      return [keyOf(kind, "username", name)];
    case "oauth2_credential":
      return [keyOf("oauth2_credential", "client_id", name)];
    case "vault":
      return [keyOf("vault", "prefix", name)];
    case "jwt_secret":
      return [keyOf("jwt_secret", "key", name)];
    case "ca_certificate":
      return [keyOf("ca_certificate", "cert_digest", name.toLowerCase())];
    case "target":
    case "acl":
    case "consumer_group_consumer":
    case "certificate":
      // Their names say too little alone.
      return [];
    default:
      return kind satisfies never;
  }
}

function pluginScope(plugin: Plugin): UniqueKey {
  const route = plugin.route?.id ?? "";
  const service = plugin.service?.id ?? "";
  const consumer = plugin.consumer?.id ?? "";
  const group = plugin.consumerGroup?.id ?? "";
  const scope = Object.entries({
    route,
    service,
    consumer,
    consumer_group: group,
  })
    .filter(([, id]) => id !== "")
    .map(([kind, id]) => `${kind} ${id}`);
  return {
    key: keyOf("plugin", "scope", route, service, consumer, group, plugin.name),
    fields: ["name", "route", "service", "consumer", "consumer_group"],
    describe: `plugin ${show(plugin.name)} ${scope.length === 0 ? "for everything" : `of ${scope.join(", ")}`}`,
  };
}

function one(kind: Kind, field: string, value: string): UniqueKey[] {
  if (value === "") return [];
  return [
    {
      key: keyOf(kind, field, value),
      fields: [field],
      // Only when somebody asks: keys are read off every entry of a configuration at a start.
      get describe() {
        return `${field} ${show(value)}`;
      },
    },
  ];
}

/** Ids come first: only the last part may be any text, so that no two keys run together. */
function keyOf(kind: Kind, field: string, ...parts: readonly string[]): string {
  return [kind, field, ...parts].join("\0");
}

function hashOf(secret: string): string {
  return createHash("sha256").update(secret, "utf8").digest("hex");
}
