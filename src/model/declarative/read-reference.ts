import { isUuid } from "../ids.ts";
import type { RawReference } from "./raw-entity.ts";
import type { TreeNode } from "./tree.ts";

/** What a reference as a file writes it leads to: a name or an id, `{name: …}` or `{id: …}`. Undefined for anything else. */
export function readTarget(node: TreeNode): RawReference["target"] | undefined {
  const text = textOf(node);
  if (text !== undefined) return { by: "text", text };
  if (node.type !== "map") return undefined;
  for (const key of node.entries.keys())
    if (key !== "id" && key !== "name") return undefined;
  const id = textOf(node.entries.get("id")?.value);
  if (id !== undefined)
    return isUuid(id) ? { by: "id", id: id.toLowerCase() } : undefined;
  const name = textOf(node.entries.get("name")?.value);
  return name === undefined ? undefined : { by: "name", name };
}

/** A text that is not empty. */
export function textOf(node: TreeNode | undefined): string | undefined {
  return node?.type === "scalar" &&
    typeof node.value === "string" &&
    node.value !== ""
    ? node.value
    : undefined;
}
