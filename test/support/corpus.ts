import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** Where other people's real files lie: too many and too foreign to keep in this repository. */
const CORPUS =
  process.env["HOLDFAST_CORPUS"] ??
  path.join(import.meta.dirname, "../../../shared/corpus");

/** Whether they are there. */
export const hasCorpus = existsSync(path.join(CORPUS, "INDEX.tsv"));

/** Said in the name of a suite that cannot run without them. */
export const corpusNote = hasCorpus
  ? ""
  : " (skipped: set HOLDFAST_CORPUS to their folder)";

/** The names of all files; "broken/…" for those that Kong or a YAML parser refuses. None when there is no corpus. */
export function corpusFiles(): readonly string[] {
  if (!hasCorpus) return [];
  const declarative = (folder: string): string[] =>
    readdirSync(path.join(CORPUS, folder))
      .filter((name) => /\.(ya?ml|json)$/.test(name))
      .sort();
  return [
    ...declarative("."),
    ...declarative("broken").map((name) => `broken/${name}`),
  ];
}

/** A file as an Apply request has it. */
export function corpusFile(file: string): {
  readonly name: string;
  readonly content: string;
} {
  return {
    name: path.basename(file),
    content: readFileSync(path.join(CORPUS, file), "utf8").replace(
      // Whoever sends a file fills in what it takes from the environment.
      '${{ env "DECK_VAULT_TOKEN" }}',
      "t",
    ),
  };
}
