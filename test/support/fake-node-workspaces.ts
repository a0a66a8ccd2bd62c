import { Registry } from "prom-client";
import type { AdminWorkspaces } from "../../src/cp/admin/deps.ts";
import type { Catalog } from "../../src/cp/catalog/catalog.ts";
import type { Nodes } from "../../src/cp/distributor/nodes.ts";
import { Reception } from "../../src/cp/distributor/reception.ts";
import type { Store } from "../../src/cp/store/store.ts";
import { Workspaces } from "../../src/cp/workspaces/workspaces.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import type { CloseStack } from "../../src/runtime/close-stack.ts";
import { silentLogger } from "../../src/runtime/logger.ts";

/** Real workspaces, of which the default one has the nodes that a test makes up. The stack closes them. */
export async function fakeNodeWorkspaces(
  stack: CloseStack,
  of: { readonly store: Store; readonly clock: Clock; readonly nodes: Nodes },
): Promise<{
  readonly workspaces: AdminWorkspaces;
  readonly catalog: Catalog;
}> {
  const { store, clock, nodes } = of;
  const deps = { clock, logger: silentLogger };
  const reception = stack.use(
    new Reception({ ...deps, metrics: new Registry(), build: "test" }),
  );
  const real = stack.use(await Workspaces.open({ ...deps, store, reception }));
  const { catalog, deleted } = real.get("default");
  return {
    catalog,
    workspaces: {
      get: (name) =>
        name === "default" ? { catalog, nodes, deleted } : real.get(name),
      list: () => real.list(),
      describe: (name) => real.describe(name),
      create: (name) => real.create(name),
      copy: (from, to, note) => real.copy(from, to, note),
      delete: (name, options) => real.delete(name, options),
    },
  };
}
