import type { AdminWorkspaces } from "../../src/cp/admin/deps.ts";
import type { Catalog } from "../../src/cp/catalog/catalog.ts";
import type { Nodes } from "../../src/cp/distributor/nodes.ts";
import { noSuchWorkspace } from "../../src/cp/workspaces/workspaces.ts";

/** The workspaces of a control plane that has one. */
export function onlyWorkspace(catalog: Catalog, nodes: Nodes): AdminWorkspaces {
  const { signal: deleted } = new AbortController();
  const stays = () =>
    Promise.reject(new TypeError("the only workspace of a test stays so"));
  return {
    list: () => [],
    describe: (name) => {
      throw noSuchWorkspace(name);
    },
    create: stays,
    copy: stays,
    delete: stays,
    get(name) {
      if (name === catalog.workspace) return { catalog, nodes, deleted };
      throw noSuchWorkspace(name);
    },
  };
}
