import { CST, LineCounter } from "yaml";
import { quoteText } from "./emit-yaml.ts";
import { MAX_FILE_CHARACTERS } from "./document.ts";
import type { DeclarativeFile, Position, Problem } from "./parsed.ts";
import {
  rangeOf,
  scalarsWithPlaceholders,
  type Placeholder,
  type ScalarToken,
  type ScalarWithPlaceholders,
} from "./placeholders.ts";
import { readPlainScalar } from "./scalar.ts";

/** How placeholders are filled in. */
export interface FillOptions {
  /** What they stand for, by name. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** Whether `$NAME` and `${NAME}` are placeholders too. Without it they are text. */
  readonly shell: boolean;
}

/** A file whose placeholders are filled in. */
export interface FilledFile {
  readonly file: DeclarativeFile;
  /** Those that could not be. The file is not to be used then. */
  readonly problems: readonly Problem[];
  /** Where something stood before that stands at a place of the filled file. Lines stay as they are. */
  readonly before: (place: Position) => Position;
}

/** What stands in a line from a column on stood that much further to the left. */
interface Shift {
  readonly line: number;
  readonly column: number;
  readonly by: number;
}

/**
 * Fills in `${{ env "DECK_X" }}`, and `$NAME` where that is wanted. A value becomes part of the text, number or boolean in
 * which its placeholder stands and never of the structure around it, whatever characters it has; one of several lines
 * keeps them.
 */
export function fillPlaceholders(
  file: DeclarativeFile,
  options: FillOptions,
): FilledFile {
  const { name, content } = file;
  if (content.length > MAX_FILE_CHARACTERS || !content.includes("$"))
    return { file, problems: [], before: (place) => place };
  const { scalars, mask } = scalarsWithPlaceholders(content, options.shell);
  const lines = linesOf(content);
  const problems: Problem[] = [];
  const shifts: Shift[] = [];
  const parts: string[] = [];
  let copied = 0;
  for (const scalar of scalars) {
    const values = valuesOf(scalar.placeholders, options, (offset, message) => {
      const { line, col: column } = lines.linePos(offset);
      const about = { path: "", entity: "", field: "" };
      problems.push({ file: name, line, column, ...about, message });
    });
    if (values === undefined) continue;
    const [start, end] = rangeOf(scalar.token);
    const filled = withSameLines(
      fillScalar(scalar, values, mask),
      content.slice(start, end),
      lines.linePos(end).col - 1,
      scalar.token.type === "block-scalar",
    );
    const by = filled.length - (end - start);
    if (!filled.includes("\n") && by > 0) {
      const { line, col } = lines.linePos(end);
      const moved = shifts
        .filter((shift) => shift.line === line)
        .reduce((sum, shift) => sum + shift.by, 0);
      shifts.push({ line, column: col + moved + by, by });
    }
    parts.push(content.slice(copied, start), filled);
    copied = end;
  }
  parts.push(content.slice(copied));
  return {
    file: { name, content: parts.join("") },
    problems,
    before: (place) => ({
      ...place,
      column: shifts
        .filter(
          ({ line, column }) => line === place.line && column <= place.column,
        )
        .reduce((column, { by }) => column - by, place.column),
    }),
  };
}

function linesOf(content: string): LineCounter {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (const { index } of content.matchAll(/\n/g)) lines.addNewLine(index + 1);
  return lines;
}

interface FilledValue {
  readonly text: string;
  /** Whether it was asked to be no text. */
  readonly typed: boolean;
}

function valuesOf(
  placeholders: readonly Placeholder[],
  options: FillOptions,
  refuse: (offset: number, message: string) => void,
): readonly FilledValue[] | undefined {
  const values: FilledValue[] = [];
  for (const { offset, text } of placeholders) {
    const value = evaluate(text, options.values);
    if (typeof value === "string") refuse(offset, value);
    else values.push(value);
  }
  return values.length === placeholders.length ? values : undefined;
}

/** The value of a placeholder; a text says why it has none. What it is stays unsaid: it may be a secret. */
function evaluate(
  text: string,
  values: FillOptions["values"],
): FilledValue | string {
  if (text === "$$") return { text: "$", typed: false };
  if (!text.startsWith("${{")) {
    const name = text.replace(/^\$\{?|\}$/g, "");
    if (!/^[A-Za-z_]\w*$/.test(name))
      return `${text} is not understood: write \${NAME}, or $\${ for the two characters themselves`;
    const value = values[name];
    return value === undefined ? unset(name) : { text: value, typed: false };
  }
  // Inside of double quotes people write \" as YAML wants it, or " as decK does.
  const inner = text.slice(3, -2).replaceAll('\\"', '"').trim();
  const match = DECK_EXPRESSION.exec(inner);
  const name = match?.groups?.["name"];
  if (name === undefined)
    return `${text} is not understood: write \${{ env "DECK_NAME" }}, and for a number or a boolean \${{ env "DECK_NAME" | toInt }}, toFloat or toBool`;
  if (!name.startsWith("DECK_"))
    return `${text} names ${name}: the names of variables in a file start with DECK_`;
  const value = values[name];
  if (value === undefined) return unset(name);
  const filters = [...inner.matchAll(FILTER)].map(([, filter = ""]) => filter);
  for (const filter of filters) {
    const type = TYPES.get(filter);
    if (type !== undefined && !type.pattern.test(value))
      return `${name} in the environment is not ${type.called}, as ${filter} wants it`;
  }
  return { text: value, typed: filters.some((filter) => TYPES.has(filter)) };
}

function unset(name: string): string {
  return `${name} is not set in the environment`;
}

/** `indent` does nothing: a value of several lines is indented by where it stands. */
const DECK_EXPRESSION =
  /^env\s+(?<quote>["`])(?<name>\w+)\k<quote>(?:\s*\|\s*(?:toInt|toFloat|toBool|indent\s+\d+))*$/;
const FILTER = /\|\s*(\w+)/g;

const TYPES: ReadonlyMap<
  string,
  { readonly pattern: RegExp; readonly called: string }
> = new Map([
  ["toInt", { pattern: /^[-+]?\d+$/, called: "a whole number" }],
  [
    "toFloat",
    { pattern: /^[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/, called: "a number" },
  ],
  ["toBool", { pattern: /^(?:true|false)$/i, called: "true or false" }],
]);

/** The scalar with its values, as YAML. */
function fillScalar(
  { token, placeholders }: ScalarWithPlaceholders,
  values: readonly FilledValue[],
  mask: RegExp,
): string {
  const { value } = CST.resolveAsScalar(token);
  const [only] = values;
  const isWhole =
    placeholders.length === 1 && value.replace(mask, "").trim() === "";
  if (isWhole && only?.typed === true) return only.text.toLowerCase();
  let next = 0;
  const text = value.replace(mask, () => values[next++]?.text ?? "");
  if (token.type === "scalar") {
    // As if it had been written there.
    if (text === "") return "null";
    if (typeof readPlainScalar(text) !== "string") return text;
  }
  return quoteText(isClipped(token) ? text.replace(/\n+$/, "\n") : text);
}

/** Whether it is a block that ends in one line break, whatever stands before it. */
function isClipped(token: ScalarToken): boolean {
  if (token.type !== "block-scalar") return false;
  const header = token.props.find(({ type }) => type === "block-scalar-header");
  return !/[-+]/.test(header && "source" in header ? header.source : "");
}

/**
 * A scalar in place of another with as many line breaks, so that everything behind it keeps its line; and when it is not
 * longer, or ended on another line than it began, its column too.
 */
function withSameLines(
  filled: string,
  original: string,
  endColumn: number,
  isBlock: boolean,
): string {
  const breaks = original.split("\n").length - 1;
  if (breaks === 0) return filled.padEnd(original.length);
  const end = isBlock ? "" : " ".repeat(endColumn);
  return filled + "\n".repeat(breaks) + end;
}
