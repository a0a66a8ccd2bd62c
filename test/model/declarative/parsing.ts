import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import {
  describeProblem,
  type ParsedDeclarative,
} from "../../../src/model/declarative/parsed.ts";
import { resourceToJson } from "../../../src/model/resource-json.ts";

/** Parses one file, called f.yml, of format 3.0 unless it names another. */
export function parse(text: string): ParsedDeclarative {
  const content = text.includes("_format_version")
    ? text
    : `${text}\n_format_version: "3.0"\n`;
  return parseDeclarative([{ name: "f.yml", content }]);
}

/** The problems of a file, as people see them, without the file's name. */
export function problemsOf(text: string): string[] {
  return parse(text).problems.map((problem) =>
    describeProblem(problem).replace(/^f\.yml:/, ""),
  );
}

/** The warnings of a file, likewise. */
export function warningsOf(text: string): string[] {
  return parse(text).warnings.map((warning) =>
    describeProblem(warning).replace(/^f\.yml:/, ""),
  );
}

/** The entities of a file without problems, in JSON. */
export function resourcesOf(text: string): unknown[] {
  const parsed = parse(text);
  if (parsed.problems.length > 0)
    throw new Error(parsed.problems.map(describeProblem).join("\n"));
  return parsed.entities.map(({ resource }) => resourceToJson(resource));
}

/** By path: what each entity is and the id it would get. */
export function idsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    parse(text).entities.map(({ path, idIfNew }) => [path, idIfNew]),
  );
}
