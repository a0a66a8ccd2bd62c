import { create } from "@bufbuild/protobuf";
import {
  FeatureSchema,
  type Feature,
} from "../gen/holdfast/sync/v1/sync_pb.js";

type Plain = Pick<Feature, "name" | "version">;

/**
 * A name for all that a build could do at one time, so that forty names need not be said at every connection. What an
 * edition stands for never changes: what comes later is named beside it, and a new edition is said by nodes only when no
 * control plane is left that does not know it. It is part of the protocol: see the head of sync.proto.
 */
export const EDITION: Plain = { name: "edition/1", version: 1 };

/** What `EDITION` stands for, each in version 1. */
const MEMBERS: readonly string[] = [
  ...[
    "acl",
    "basicauth_credential",
    "ca_certificate",
    "certificate",
    "consumer",
    "consumer_group",
    "consumer_group_consumer",
    "hmacauth_credential",
    "jwt_secret",
    "keyauth_credential",
    "oauth2_credential",
    "plugin",
    "route",
    "service",
    "sni",
    "target",
    "upstream",
    "vault",
  ].map((kind) => `kind/${kind}`),
  ...[
    "acl",
    "basic-auth",
    "bot-detection",
    "correlation-id",
    "cors",
    "file-log",
    "http-log",
    "ip-restriction",
    "jwt",
    "key-auth",
    "opentelemetry",
    "prometheus",
    "proxy-cache",
    "rate-limiting",
    "request-size-limiting",
    "request-termination",
    "request-transformer",
    "response-ratelimiting",
    "response-transformer",
  ].map((plugin) => `plugin/${plugin}`),
  "sync/bucket-batch",
];

/** The same features, said shorter where they have all of the edition. */
export function abridged(features: readonly Plain[]): readonly Plain[] {
  const names = new Set(features.map(({ name }) => name));
  if (!MEMBERS.every((member) => names.has(member))) return features;
  const members = new Set(MEMBERS);
  return [
    EDITION,
    ...features.filter(
      ({ name, version }) => version !== 1 || !members.has(name),
    ),
  ];
}

/** The same features, each by its own name and once, in the highest version. */
export function spelledOut(features: readonly Feature[]): Feature[] {
  const spelled = new Map<string, Feature>();
  const add = (feature: Feature): void => {
    const known = spelled.get(feature.name);
    if (known === undefined || known.version < feature.version)
      spelled.set(feature.name, feature);
  };
  const says = ({ name, version }: Plain): boolean =>
    name === EDITION.name && version === EDITION.version;
  if (features.some(says))
    for (const name of MEMBERS)
      add(create(FeatureSchema, { name, version: 1 }));
  for (const feature of features) if (!says(feature)) add(feature);
  return [...spelled.values()];
}
