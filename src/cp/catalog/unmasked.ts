import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults } from "../../model/defaults.ts";
import { keyOf, type Kind } from "../../model/kinds.ts";
import { idOf } from "../../model/messages.ts";
import {
  withResolved,
  type ResourceReference,
} from "../../model/references.ts";
import { naturalKey } from "../../model/unique.ts";
import { isPartial, withMask } from "../../model/update-mask.ts";
import type { PutOperation } from "./operation.ts";
import type { PutContext } from "./put.ts";
import { renamedPlugin } from "./renamed-plugin.ts";
import { decodeResource, labelOf } from "./resource.ts";

/**
 * The operation with the whole resource: what its mask leaves out as it is there. Undefined, and noted, when it is not
 * there, or when what is there may not be told under the name asked for.
 */
export function unmasked(
  {
    layer,
    refusals,
    onMasked,
  }: Pick<PutContext, "layer" | "refusals" | "onMasked">,
  kind: Kind,
  operation: PutOperation,
  resolve: (reference: ResourceReference) => string | undefined,
): PutOperation | undefined {
  const { mask = [], resource, at } = operation;
  if (!isPartial(mask)) return operation;
  const asked = withResolved(fillDefaults(resource), resolve);
  const natural = naturalKey(asked);
  const key =
    idOf(asked) === ""
      ? natural && layer.owner(natural)
      : keyOf(kind, idOf(asked));
  const before = key === undefined ? undefined : layer.get(key);
  if (before === undefined) {
    refusals.add(
      "not_found",
      {
        ...labelOf(asked),
        field: "",
        reason:
          "is not there, and update_mask changes only what is: leave it out to create the resource",
      },
      at,
    );
    return undefined;
  }
  const stored = decodeResource(before);
  onMasked?.(named(resource, stored));
  const masked = withMask(stored, resource, mask);
  for (const reason of masked.problems)
    refusals.add(
      "invalid_argument",
      { ...labelOf(stored), field: "update_mask", reason },
      at,
    );
  const renamed = renamedPlugin(stored, masked.resource);
  if (renamed !== undefined) {
    // No further: the rules of another plugin would quote what this one keeps secret.
    refusals.add("invalid_argument", renamed, at);
    return undefined;
  }
  return { ...operation, resource: masked.resource };
}

/** What is given for a plugin, as one of the name that the plugin has there: the name given beside it need not be that. */
function named(given: Resource, stored: Resource): Resource {
  if (given.kind.case !== "plugin" || stored.kind.case !== "plugin")
    return given;
  const { name } = stored.kind.value;
  return {
    ...given,
    kind: { case: "plugin", value: { ...given.kind.value, name } },
  };
}
