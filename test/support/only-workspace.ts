import type { AdminWorkspaces } from "../../src/cp/admin/deps.ts";
import type { Catalog } from "../../src/cp/catalog/catalog.ts";
import type { Nodes } from "../../src/cp/distributor/nodes.ts";
import { noSuchWorkspace } from "../../src/cp/workspaces/workspaces.ts";

/** The workspaces of a control plane that has one. */
export function onlyWorkspace(catalog: Catalog, nodes: Nodes): AdminWorkspaces {
  const { signal: deleted } = new AbortController();
  return {
    get(name) {
      if (name === catalog.workspace) return { catalog, nodes, deleted };
      throw noSuchWorkspace(name);
    },
  };
}
