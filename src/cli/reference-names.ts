import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { keyOf, type Kind } from "../model/kinds.ts";
import { mapReferences, referencesOf } from "../model/references.ts";
import { nameOf } from "../model/unique.ts";
import type { ControlPlaneClient } from "./client.ts";

/** With more of them ids stay: a call for each would take too long. */
const MAX_LOOKUPS = 50;

/**
 * Makes references by id, in place, references by the name that people know, for tables. What cannot be found and what has
 * no name keeps its id.
 */
export async function nameReferences(
  client: ControlPlaneClient,
  resources: readonly Resource[],
): Promise<void> {
  const wanted = new Map<string, { kind: Kind; id: string }>();
  for (const { kind, ref } of resources.flatMap(referencesOf)) {
    if (ref.id !== undefined)
      wanted.set(keyOf(kind, ref.id), { kind, id: ref.id });
  }
  if (wanted.size > MAX_LOOKUPS) return;
  const names = new Map(
    await Promise.all(
      Array.from(
        wanted,
        async ([key, { kind, id }]) =>
          [key, await lookUp(client, kind, id)] as const,
      ),
    ),
  );
  for (const resource of resources)
    mapReferences(resource, (reference, _field, kind) => {
      const name = names.get(keyOf(kind, reference.id)) ?? "";
      return name === "" ? reference : { id: "", name };
    });
}

async function lookUp(
  { config, workspace, call }: ControlPlaneClient,
  kind: Kind,
  id: string,
): Promise<string> {
  try {
    const by = { case: "id" as const, value: id };
    const { resource } = await config.get({ workspace, kind, by }, call);
    return resource === undefined ? "" : nameOf(resource);
  } catch {
    // Deleted in between, perhaps: its id says enough.
    return "";
  }
}
