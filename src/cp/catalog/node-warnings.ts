import { featuresOf, type Feature } from "../../model/features.ts";
import { keyOf } from "../../model/kinds.ts";
import type { Slices } from "../../model/slices.ts";
import type { WarningInfo } from "./operation.ts";
import type { Plan } from "./planner.ts";

/** Ids of nodes told in one message, at most. */
const TOLD_NODES = 5;

/** A feature, and connected nodes that lack it. */
interface Lacking {
  readonly feature: Feature;
  /** Whether they refuse a state that needs it, rather than serve it in part. */
  readonly refusing: boolean;
  readonly nodes: readonly string[];
}

/** What connected nodes lack. */
export interface NodeWarnings {
  /** Which of them lack any of these. */
  readonly lacking: (features: readonly Feature[]) => readonly Lacking[];
  /** Which of them refuse the newest state for entries other than these. */
  readonly refusingWithout: (
    changed: ReadonlySet<string>,
  ) => readonly Lacking[];
}

/** No node lacks anything. */
export const noNodes: NodeWarnings = {
  lacking: () => [],
  refusingWithout: () => [],
};

/**
 * Which nodes cannot do what the changed entries need. A dry run also says who would refuse the revision for what is there
 * already.
 */
export function* warnOfNodes(
  plan: Plan,
  nodes: NodeWarnings,
  dryRun: boolean,
): Slices<WarningInfo[]> {
  const users = new Map<string, { feature: Feature; changed: number[] }>();
  for (const [i, { key, after }] of plan.changes.entries()) {
    yield 1;
    if (after === undefined) continue;
    for (const feature of featuresOf(plan.resource(key))) {
      const known = users.get(feature.name);
      if (known === undefined)
        users.set(feature.name, { feature, changed: [i] });
      else known.changed.push(i);
    }
  }
  const features = [...users.values()].map(({ feature }) => feature);
  const warnings: WarningInfo[] = [];
  for (const lack of features.length === 0 ? [] : nodes.lacking(features))
    for (const i of users.get(lack.feature.name)?.changed ?? []) {
      const change = plan.infos[i];
      if (change === undefined) continue;
      const { kind, id, name } = change;
      warnings.push(warning({ kind, id, name }, `needs ${said(lack)}`, lack));
      yield 1;
    }
  if (!dryRun) return warnings;
  const changed = new Set(plan.infos.map(({ kind, id }) => keyOf(kind, id)));
  for (const lack of nodes.refusingWithout(changed))
    if (!users.has(lack.feature.name))
      warnings.push(
        warning(
          { kind: "", id: "", name: "" },
          `what is there already and stays needs ${said(lack)}`,
          lack,
        ),
      );
  return warnings;
}

function warning(
  about: Pick<WarningInfo, "kind" | "id" | "name">,
  message: string,
  { nodes, refusing }: Lacking,
): WarningInfo {
  return { ...about, field: "", message, nodes, refusing, position: "" };
}

function said({ feature, nodes, refusing }: Lacking): string {
  const { name, version } = feature;
  const many = nodes.length !== 1;
  const consequence = refusing
    ? `${many ? "refuse" : "refuses"} the revision for that and ${many ? "go" : "goes"} on serving what ${many ? "they have" : "it has"}`
    : `${many ? "answer" : "answers"} 503 on routes in its scope`;
  const told = nodes.slice(0, TOLD_NODES).join(", ");
  return `${name} (version ${version}), which ${nodes.length} connected ${many ? "nodes lack" : "node lacks"}: ${told}${nodes.length > TOLD_NODES ? " …" : ""}; ${many ? "they" : "it"} ${consequence}`;
}
