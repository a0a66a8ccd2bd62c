import { readFileSync } from "node:fs";
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { dashed, type FlagTable, type Given } from "./flags.ts";
import { didYouMean } from "./nearest.ts";

/** Reads a YAML file of flags by name, and adds what is wrong with it to `problems`. */
export function readConfigFile(
  file: string,
  flags: FlagTable,
  problems: string[],
): Map<string, Given> {
  const given = new Map<string, Given>();
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    problems.push(`--config: cannot read ${file}: ${why}`);
    return given;
  }
  const lines = new LineCounter();
  // Scalars stay the texts that the flags' own readers expect: 1.10 is not 1.1 here.
  const { contents, errors } = parseDocument(content, {
    schema: "failsafe",
    lineCounter: lines,
    prettyErrors: false,
  });
  for (const { message, pos } of errors)
    problems.push(`${file}:${lines.linePos(pos[0]).line}: ${message}`);
  if (errors.length > 0 || contents === null) return given;
  if (!isMap(contents)) {
    problems.push(`${file}: must be a map of flags to values`);
    return given;
  }

  const names = new Map(Object.keys(flags).map((name) => [dashed(name), name]));
  for (const { key, value } of contents.items) {
    const word = textOf(key) ?? "";
    const line = lines.linePos(key.range[0]).line;
    const from = `${file}:${line}: ${word}`;
    const name = names.get(word);
    if (name === undefined) {
      problems.push(
        `${from} is not a flag of this command.${didYouMean(word, [...names.keys()])}`,
      );
      continue;
    }
    const texts = textsOf(value);
    if (texts === undefined)
      problems.push(`${from} must be a text, a list or a map of texts`);
    else if (texts.length > 1 && flags[name]?.many !== true)
      problems.push(`${from} has ${texts.length} values and can have one`);
    else if (texts.length > 0) given.set(name, { from, texts });
  }
  return given;
}

/** The texts of a text, a list, or a map (`key=value` each); undefined when it is something else. */
function textsOf(node: unknown): string[] | undefined {
  if (isSeq(node)) return all(node.items.map(textOf));
  if (isMap(node))
    return all(
      node.items.map(({ key, value }) =>
        all([textOf(key), textOf(value)])?.join("="),
      ),
    );
  const text = textOf(node);
  return text === "" ? [] : all([text]);
}

/** The text of a scalar, empty when nothing is there; undefined when it is none. */
function textOf(node: unknown): string | undefined {
  if (node === null) return "";
  if (!isScalar(node)) return undefined;
  return typeof node.value === "string" ? node.value : "";
}

function all(texts: readonly (string | undefined)[]): string[] | undefined {
  const present = texts.filter((text) => text !== undefined);
  return present.length === texts.length ? present : undefined;
}
