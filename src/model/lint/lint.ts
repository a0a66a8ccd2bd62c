import type { ParsedDeclarative } from "../declarative/parsed.ts";
import { fillDefaults } from "../defaults.ts";
import type { Kind } from "../kinds.ts";
import { warningsOf } from "../warnings.ts";
import { findingOf, type Finding, type Rule } from "./finding.ts";
import { Graph } from "./graph.ts";
import { unreachablePlugins, unusedCredentials } from "./plugins.ts";
import { routesWithoutService, shadowedRoutes } from "./routes.ts";
import { services, upstreams } from "./unused.ts";

/**
 * What is accepted and nobody means, in files that have no problems: as far as the files themselves tell, in their order.
 * Certificates are judged by `nowMs`.
 */
export function lint(
  { entities }: Pick<ParsedDeclarative, "entities">,
  nowMs: number,
): Finding[] {
  const graph = new Graph(entities);
  const findings = [
    ...notes(entities, nowMs),
    ...shadowedRoutes(graph),
    ...routesWithoutService(graph),
    ...unreachablePlugins(graph),
    ...unusedCredentials(graph),
    ...upstreams(graph),
    ...services(graph),
  ];
  const files = [...new Set(entities.map(({ position }) => position.file))];
  const order = new Map(files.map((file, i) => [file, i]));
  const fileOf = ({ file }: Finding) => order.get(file) ?? 0;
  return findings.sort(
    (a, b) => fileOf(a) - fileOf(b) || a.line - b.line || a.column - b.column,
  );
}

/** What an apply warns about as well. */
function* notes(
  entities: ParsedDeclarative["entities"],
  nowMs: number,
): Generator<Finding> {
  for (const entity of entities) {
    const filled = fillDefaults(entity.resource);
    for (const { field, message } of warningsOf(filled, { nowMs }))
      yield findingOf(ruleOf(entity.kind, field), entity, field, message);
  }
}

function ruleOf(kind: Kind, field: string): Rule {
  switch (kind) {
    case "route":
      return field.startsWith("paths") ? "regex-without-tilde" : "not-proxied";
    case "plugin":
      return field === "name" ? "unknown-plugin" : "plugin-config";
    case "certificate":
    case "ca_certificate":
      return "certificate-expiry";
    default:
      return "not-proxied";
  }
}
