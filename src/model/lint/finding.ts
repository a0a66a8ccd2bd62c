import type { DeclaredEntity, Position } from "../declarative/parsed.ts";

/** What is looked for, by name. */
export const RULES = {
  "certificate-expiry": "a certificate that has expired or soon will",
  "not-proxied": "what is stored and no data plane of Holdfast serves",
  "plugin-config": "settings of a plugin that do not do what they seem to",
  "regex-without-tilde":
    "a path that looks like a regular expression and is a literal prefix",
  "route-without-service":
    "a route that has no service and nothing else that answers",
  "service-without-routes": "a service that no request can reach",
  "shadowed-route":
    "a route of which another takes every request that it matches",
  "unknown-plugin": "a plugin that this version does not know",
  "unreachable-plugin": "a plugin that never runs",
  "unused-credential": "credentials that no plugin asks for",
  "unused-upstream": "an upstream that no service names",
  "upstream-without-targets": "an upstream with nowhere to send requests to",
} as const;

/** The name of a rule. */
export type Rule = keyof typeof RULES;

/** Something that is accepted and that nobody means. */
export interface Finding extends Position {
  readonly rule: Rule;
  /** The entity's label: `route "x"`. */
  readonly entity: string;
  /** The field's path inside the entity; empty when it is about the whole. */
  readonly field: string;
  readonly message: string;
}

/** A finding about an entity. */
export function findingOf(
  rule: Rule,
  { position, label }: DeclaredEntity,
  field: string,
  message: string,
): Finding {
  return { ...position, rule, entity: label, field, message };
}
