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

/** What of `needs` a node with these features lacks. A higher version can do all a lower one can. */
export function missingOf(
  needs: readonly FeatureNeed[],
  features: readonly Pick<Feature, "name" | "version">[],
): readonly MissingFeature[] {
  return needs
    .filter(
      (need) =>
        !features.some(
          (feature) =>
            feature.name === need.name && feature.version >= need.version,
        ),
    )
    .map((need) =>
      create(MissingFeatureSchema, {
        feature: { name: need.name, version: need.version },
        keys: [...need.keys],
        consequence:
          "the node keeps the last state it can apply until this is no longer needed or its build has it",
      }),
    );
}
