import type { ParsedDeclarative, Problem } from "../declarative/parsed.ts";
import { fillDefaults } from "../defaults.ts";
import type { Kind } from "../kinds.ts";
import { warningsOf } from "../warnings.ts";
import { findingOf, type Finding, type Rule } from "./finding.ts";
import { Graph } from "./graph.ts";
import { unreachablePlugins, unusedCredentials } from "./plugins.ts";
import { routesWithoutService, shadowedRoutes } from "./routes.ts";
import { services, upstreams } from "./unused.ts";

/**
 * What is accepted and nobody means, as far as the files themselves tell, in their order. Where they have problems, only
 * what is said of one entity that has none: another one may be what could not be read. Certificates are judged by `nowMs`.
 */
export function lint(
  { entities }: Pick<ParsedDeclarative, "entities">,
  nowMs: number,
  problems: readonly Pick<Problem, "entity">[] = [],
): Finding[] {
  const wrong = new Set(problems.map(({ entity }) => entity));
  const right = entities.filter(({ label }) => !wrong.has(label));
  const findings = [
    ...notes(right, nowMs),
    ...(problems.length === 0 ? betweenEntities(entities) : []),
  ];
  const files = [...new Set(entities.map(({ position }) => position.file))];
  const order = new Map(files.map((file, i) => [file, i]));
  const fileOf = ({ file }: Finding) => order.get(file) ?? 0;
  return findings.sort(
    (a, b) => fileOf(a) - fileOf(b) || a.line - b.line || a.column - b.column,
  );
}

function betweenEntities(entities: ParsedDeclarative["entities"]): Finding[] {
  const graph = new Graph(entities);
  return [
    ...shadowedRoutes(graph),
    ...routesWithoutService(graph),
    ...unreachablePlugins(graph),
    ...unusedCredentials(graph),
    ...upstreams(graph),
    ...services(graph),
  ];
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
