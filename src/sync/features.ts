import { create } from "@bufbuild/protobuf";
import {
  MissingFeatureSchema,
  type Feature,
  type MissingFeature,
} from "../gen/holdfast/sync/v1/sync_pb.js";

/** Something that a state needs of a node. */
export interface FeatureNeed {
  readonly name: string;
  readonly version: number;
  /** Entries that need it; the first 16. */
  readonly keys: readonly string[];
}

/** A node with this feature serves a state whose plugins it lacks: routes in their scope answer 503 there. */
export const FAIL_ROUTE = "config/fail-route";
/** A node with this feature takes several small buckets in one message. */
export const BUCKET_BATCH = "sync/bucket-batch";
const PLUGIN = "plugin/";

type Features = readonly Pick<Feature, "name" | "version">[];

/** What of `needs` keeps a state from a node with these features. A higher version can do all a lower one can. */
export function missingOf(
  needs: readonly FeatureNeed[],
  features: Features,
): readonly MissingFeature[] {
  const lenient = has(features, { name: FAIL_ROUTE, version: 1 });
  return needs
    .filter((need) => !has(features, need) && !(lenient && isPlugin(need)))
    .map((need) =>
      missing(
        need,
        "the node keeps the last state it can apply until this is no longer needed or its build has it",
      ),
    );
}

/** What of `needs` a node with these features serves only in part. */
export function degradedOf(
  needs: readonly FeatureNeed[],
  features: Features,
): readonly MissingFeature[] {
  if (!has(features, { name: FAIL_ROUTE, version: 1 })) return [];
  return needs
    .filter((need) => !has(features, need) && isPlugin(need))
    .map((need) =>
      missing(need, "routes in the scope of these plugins answer 503"),
    );
}

/** Whether a node can do something. */
export function has(
  features: Features,
  need: Pick<FeatureNeed, "name" | "version">,
): boolean {
  return features.some(
    (feature) => feature.name === need.name && feature.version >= need.version,
  );
}

function isPlugin(need: Pick<FeatureNeed, "name">): boolean {
  return need.name.startsWith(PLUGIN);
}

function missing(need: FeatureNeed, consequence: string): MissingFeature {
  return create(MissingFeatureSchema, {
    feature: { name: need.name, version: need.version },
    keys: [...need.keys],
    consequence,
  });
}
