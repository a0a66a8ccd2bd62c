import { checkRules } from "./check-rules.ts";
import { refuseDuplicates } from "./duplicates.ts";
import { findMissing } from "./missing.ts";
import { readDeckSettings } from "./deck.ts";
import { readDocument } from "./document.ts";
import type {
  DeclarativeFile,
  ParsedDeclarative,
  ParseOptions,
  Problem,
} from "./parsed.ts";
import { Places } from "./places.ts";
import { readFile } from "./read-file.ts";
import type { Report } from "./report.ts";
import { resolveEntities } from "./resolve.ts";

/**
 * Reads files in Kong's declarative format and decK's, as one configuration. All that is wrong is found at once and returned; nothing
 * that a file may hold makes it throw. References to what the files do not have are listed apart: the catalog may have it.
 */
export function parseDeclarative(
  files: readonly DeclarativeFile[],
  options: ParseOptions = {},
): ParsedDeclarative {
  const report: Report = { problems: [], warnings: [] };
  const places = new Places();
  const documents = files.map((file) => readDocument(file, places, report));
  const deck = readDeckSettings(documents, options, report);
  const raw = documents.flatMap((one) => readFile(one, deck, report));
  const entities = resolveEntities(raw, report);
  refuseDuplicates(entities, report);
  checkRules(entities, report);
  const order = new Map(files.map(({ name }, index) => [name, index]));
  return {
    entities: entities.map(({ declared }) => declared),
    problems: sorted(report.problems, order),
    warnings: sorted(report.warnings, order),
    missing: sorted(findMissing(entities), order),
    selectTags: deck.selectTags,
  };
}

function sorted(
  problems: readonly Problem[],
  order: ReadonlyMap<string, number>,
): Problem[] {
  const fileOf = ({ file }: Problem): number => order.get(file) ?? 0;
  return [...problems].sort(
    (a, b) => fileOf(a) - fileOf(b) || a.line - b.line || a.column - b.column,
  );
}
