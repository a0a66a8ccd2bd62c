import { fromBinary } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../../gen/holdfast/config/v1/resource_pb.js";
import type { Plugin as PluginMessage } from "../../../gen/holdfast/config/v1/plugin_pb.js";
import {
  featuresOf,
  missingFeatures,
  type Feature,
} from "../../../model/features.ts";
import { kindOfResource, parseKey } from "../../../model/kinds.ts";
import { join } from "../../../model/problem.ts";
import { checkResource } from "../../../model/rules.ts";
import { parseTarget } from "../../../model/targets.ts";
import type {
  ConsumerGroup,
  ConsumerIdentity,
  Plugin,
} from "../../plugins/plugin.ts";
import type { PluginInstance } from "../plugin-chains.ts";
import type { PluginPool } from "../plugin-pool.ts";
import {
  upstreamSettings,
  type UpstreamSettings,
} from "../upstreams/upstream-settings.ts";
import { routeDraft, type RouteDraft } from "./route-draft.ts";
import { serviceDraft, type ServiceDraft } from "./service-draft.ts";

/** An entry, read and checked by itself; its kind is that of the entry. What it refers to is an id: see `linkers.ts`. */
export type Draft =
  | RouteDraft
  | ServiceDraft
  | {
      readonly kind: "upstream";
      readonly id: string;
      readonly settings: UpstreamSettings;
      readonly clientCertificate: string | undefined;
    }
  | {
      readonly kind: "target";
      readonly id: string;
      readonly upstream: string;
      readonly host: string;
      readonly port: number;
      readonly weight: number;
    }
  | { readonly kind: "consumer"; readonly consumer: ConsumerIdentity }
  | { readonly kind: "consumer_group"; readonly group: ConsumerGroup }
  | {
      readonly kind: "consumer_group_consumer";
      readonly consumer: string;
      readonly group: string;
    }
  | {
      readonly kind: "keyauth_credential";
      readonly id: string;
      readonly consumer: string;
      readonly key: string;
    }
  | {
      readonly kind: "basicauth_credential";
      readonly id: string;
      readonly consumer: string;
      readonly username: string;
      /** As it is stored: hashed. */
      readonly password: string;
    }
  | {
      readonly kind: "jwt_secret";
      readonly id: string;
      readonly consumer: string;
      readonly key: string;
      readonly algorithm: string;
      readonly secret: string;
      readonly publicKey: string;
    }
  | {
      readonly kind: "acl";
      readonly consumer: string;
      readonly group: string;
    }
  | {
      readonly kind: "certificate";
      readonly id: string;
      readonly identities: readonly {
        readonly cert: string;
        readonly key: string;
      }[];
    }
  | {
      readonly kind: "sni";
      readonly id: string;
      /** In lower case. */
      readonly name: string;
      readonly certificate: string;
    }
  | {
      readonly kind: "ca_certificate";
      readonly id: string;
      readonly cert: string;
    }
  | {
      readonly kind: "plugin";
      /** Undefined when it is disabled. */
      readonly instance: PluginInstance | undefined;
      readonly scope: PluginInstance["scope"];
      /** What this data plane lacks for it. */
      readonly missing: readonly Feature[];
    };

/** Why an entry cannot be served. */
export interface EntryProblem {
  readonly key: string;
  /** Empty when it is not about one field. */
  readonly field: string;
  readonly reason: string;
  /** UNSUPPORTED: another build could serve it. */
  readonly class: "INVALID" | "UNSUPPORTED";
}

/** What entries are read with. */
export interface DraftContext {
  readonly plugins: ReadonlyMap<string, Plugin>;
  readonly instances: Pick<PluginPool, "make" | "drop">;
  readonly features: readonly Feature[];
}

/** Reads one entry, or says everything that is wrong with it. Undefined for a kind that nothing is made of. */
export function draftOf(
  key: string,
  value: Uint8Array,
  context: DraftContext,
): Draft | readonly EntryProblem[] | undefined {
  const problem = (
    field: string,
    reason: string,
    kind: EntryProblem["class"] = "INVALID",
  ): EntryProblem[] => [{ key, field, reason, class: kind }];
  let resource: Resource;
  try {
    // Fields of a newer version are dropped: they change nothing that this one does, or they would be a feature.
    resource = fromBinary(ResourceSchema, value, { readUnknownFields: false });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return problem("", `the value is not a resource: ${why}`);
  }
  const parsed = parseKey(key);
  if (parsed === undefined && /^[a-z][a-z0-9_]*\/[0-9a-f-]{36}$/.test(key))
    return problem(
      "",
      `this data plane does not know the kind "${key.slice(0, key.indexOf("/"))}"`,
      "UNSUPPORTED",
    );
  const kind = kindOfResource(resource);
  const id = resource.kind.value?.id ?? "";
  const own = kind === undefined ? "no resource" : `${kind}/${id}`;
  if (parsed === undefined || own !== key)
    return problem("id", `the key is "${key}", but the value is of "${own}"`);
  const violations = checkResource(resource, value.length);
  if (violations.length > 0)
    return violations.map(({ field, reason }) => ({
      key,
      field,
      reason,
      class: "INVALID",
    }));
  try {
    return draftOfResource(key, resource, context);
  } catch (error) {
    // The rules let nothing pass that cannot be compiled; should they, it is reported like any other mistake.
    const why = error instanceof Error ? error.message : String(error);
    return problem("", why);
  }
}

function draftOfResource(
  key: string,
  resource: Resource,
  context: DraftContext,
): Draft | readonly EntryProblem[] | undefined {
  const { kind } = resource;
  switch (kind.case) {
    case "route":
      return routeDraft(kind.value);
    case "service":
      return serviceDraft(kind.value);
    case "upstream": {
      return {
        kind: "upstream",
        id: kind.value.id,
        settings: upstreamSettings(kind.value),
        clientCertificate: kind.value.clientCertificate?.id,
      };
    }
    case "target": {
      const { id, upstream, target, weight } = kind.value;
      const address = parseTarget(target);
      if (!address.ok) throw new TypeError(`target: ${address.reason}`);
      return {
        kind: "target",
        id,
        upstream: upstream?.id ?? "",
        host: address.host,
        port: address.port,
        weight: weight ?? 100,
      };
    }
    case "consumer": {
      const { id, username, customId } = kind.value;
      return { kind: "consumer", consumer: { id, username, customId } };
    }
    case "consumerGroup": {
      const { id, name } = kind.value;
      return { kind: "consumer_group", group: { id, name } };
    }
    case "consumerGroupConsumer": {
      const { consumer, consumerGroup } = kind.value;
      return {
        kind: "consumer_group_consumer",
        consumer: consumer?.id ?? "",
        group: consumerGroup?.id ?? "",
      };
    }
    case "keyauthCredential": {
      const { id, consumer, key: secret } = kind.value;
      return {
        kind: "keyauth_credential",
        id,
        consumer: consumer?.id ?? "",
        key: secret,
      };
    }
    case "basicauthCredential": {
      const { id, consumer, username, password } = kind.value;
      const owner = consumer?.id ?? "";
      return {
        kind: "basicauth_credential",
        id,
        consumer: owner,
        username,
        password,
      };
    }
    case "jwtSecret": {
      const { id, consumer, key: name, secret, rsaPublicKey } = kind.value;
      return {
        kind: "jwt_secret",
        id,
        consumer: consumer?.id ?? "",
        key: name,
        algorithm: kind.value.algorithm ?? "HS256",
        secret,
        publicKey: rsaPublicKey,
      };
    }
    case "acl": {
      const { consumer, group } = kind.value;
      return { kind: "acl", consumer: consumer?.id ?? "", group };
    }
    case "certificate": {
      const { id, cert, key: secret, certAlt, keyAlt } = kind.value;
      const alternative =
        certAlt === "" ? [] : [{ cert: certAlt, key: keyAlt }];
      return {
        kind: "certificate",
        id,
        identities: [{ cert, key: secret }, ...alternative],
      };
    }
    case "sni": {
      const { id, name, certificate } = kind.value;
      return {
        kind: "sni",
        id,
        name: name.toLowerCase(),
        certificate: certificate?.id ?? "",
      };
    }
    case "caCertificate":
      return {
        kind: "ca_certificate",
        id: kind.value.id,
        cert: kind.value.cert,
      };
    case "plugin":
      return pluginDraft(
        key,
        kind.value,
        missingFeatures(featuresOf(resource), context.features),
        context,
      );
    default:
      return undefined;
  }
}

function pluginDraft(
  key: string,
  plugin: PluginMessage,
  missing: readonly Feature[],
  { plugins, instances }: DraftContext,
): Draft | readonly EntryProblem[] {
  const { name, route, service, consumer, consumerGroup } = plugin;
  const scope = {
    ...(route === undefined ? {} : { route: route.id }),
    ...(service === undefined ? {} : { service: service.id }),
    ...(consumer === undefined ? {} : { consumer: consumer.id }),
    ...(consumerGroup === undefined ? {} : { consumerGroup: consumerGroup.id }),
  };
  const none: Draft = { kind: "plugin", instance: undefined, scope, missing };
  // As in Kong, a plugin for http or https is for both; one for streams only is not for requests.
  const forRequests = plugin.protocols.some((p) => HTTP_PROTOCOLS.has(p));
  const own = missing.length > 0 ? undefined : plugins.get(name);
  if (plugin.enabled === false || !forRequests || own === undefined)
    instances.drop(key);
  if (plugin.enabled === false || !forRequests) return none;
  if (own === undefined)
    return {
      ...none,
      instance: { key, name, priority: Infinity, scope, handlers: undefined },
    };
  const config = plugin.config ?? {};
  const problems = own.problems?.(config) ?? [];
  if (problems.length > 0)
    return problems.map(({ field, reason }) => ({
      key,
      field: join("config", field),
      reason,
      class: "INVALID",
    }));
  const { handlers, lease } = instances.make(key, own, config, scope);
  return {
    ...none,
    instance: { key, name, priority: own.priority, scope, handlers, lease },
  };
}

const HTTP_PROTOCOLS: ReadonlySet<string> = new Set([
  "http",
  "https",
  "grpc",
  "grpcs",
  "ws",
  "wss",
]);
