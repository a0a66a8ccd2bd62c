import type { Plugin } from "../gen/holdfast/config/v1/plugin_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { kindOfResource } from "./kinds.ts";
import { knownPlugin } from "./plugins.ts";

/** Something a data plane must be able to do; a higher version can do all that a lower one can. */
export interface Feature {
  /** "kind/route", "plugin/key-auth" … */
  readonly name: string;
  readonly version: number;
}

/** What a data plane must be able to do to serve a resource. A disabled plugin needs nothing but its kind. */
export function featuresOf(resource: Resource): Feature[] {
  const kind = kindOfResource(resource);
  if (kind === undefined) return [];
  const features = [{ name: `kind/${kind}`, version: 1 }];
  if (
    resource.kind.case === "plugin" &&
    resource.kind.value.enabled !== false
  ) {
    const { name } = resource.kind.value;
    const version = knownPlugin(name)?.version ?? 1;
    features.push({ name: `plugin/${name}`, version });
    if (asksForGroups(resource.kind.value)) features.push(CONSUMER_GROUPS);
  }
  return features;
}

/** Also without a group: a build that knows none would take the plugin for one of everybody, or let everybody pass. */
const CONSUMER_GROUPS: Feature = { name: "kind/consumer_group", version: 1 };

function asksForGroups({ consumerGroup, config = {} }: Plugin): boolean {
  return (
    consumerGroup !== undefined ||
    config["limit_by"] === "consumer-group" ||
    config["include_consumer_groups"] === true
  );
}

/** The features needed that are not offered, or only in a lower version. */
export function missingFeatures(
  needed: Iterable<Feature>,
  offered: Iterable<Feature>,
): Feature[] {
  const versions = new Map<string, number>();
  for (const { name, version } of offered)
    versions.set(name, Math.max(version, versions.get(name) ?? 0));
  return [...needed].filter(
    ({ name, version }) => (versions.get(name) ?? 0) < version,
  );
}
