/** What a document is made of. Maps keep their order, and any text may be a key. */
export type YamlValue =
  | null
  | boolean
  | number
  | string
  | readonly YamlValue[]
  | ReadonlyMap<string, YamlValue>;

/**
 * A YAML document, in blocks. Every text is quoted that any reader of YAML 1.1 or 1.2 could take for something else
 * (`yes`, `1:30`, `012`, `2024-01-01`), and what cannot be seen is escaped.
 */
export function emitYaml(root: ReadonlyMap<string, YamlValue>): string {
  const out: string[] = [];
  writeMap(out, root, "");
  return out.join("");
}

const STEP = "  ";

/** Writes a map that is not empty: its first line where the writer stands, the others at the indent. */
function writeMap(
  out: string[],
  map: ReadonlyMap<string, YamlValue>,
  indent: string,
): void {
  let first = true;
  for (const [key, value] of map) {
    if (!first) out.push(indent);
    first = false;
    const text = emitText(key);
    if (text.length > MAX_KEY) out.push("? ", text, "\n", indent, ":");
    else out.push(text, ":");
    const inner = indent + STEP;
    if (isList(value) && value.length > 0) {
      out.push("\n", indent);
      writeList(out, value, indent);
    } else if (isMap(value) && value.size > 0) {
      out.push("\n", inner);
      writeMap(out, value, inner);
    } else writeShort(out, value, inner);
  }
}

/** Writes a list that is not empty, likewise. */
function writeList(
  out: string[],
  list: readonly YamlValue[],
  indent: string,
): void {
  for (const [i, item] of list.entries()) {
    if (i > 0) out.push(indent);
    out.push("-");
    const inner = indent + STEP;
    if (isList(item) && item.length > 0) {
      out.push(" ");
      writeList(out, item, inner);
    } else if (isMap(item) && item.size > 0) {
      out.push(" ");
      writeMap(out, item, inner);
    } else writeShort(out, item, inner);
  }
}

/** Writes what has no lines of its own, a block of text excepted, to the end of the line. */
function writeShort(out: string[], value: YamlValue, indent: string): void {
  if (isMap(value)) out.push(" {}\n");
  else if (isList(value)) out.push(" []\n");
  else if (typeof value === "string" && isLiteral(value)) {
    const isClosed = value.endsWith("\n");
    out.push(isClosed ? " |\n" : " |-\n");
    for (const line of (isClosed ? value.slice(0, -1) : value).split("\n"))
      out.push(line === "" ? "" : indent, line, "\n");
  } else out.push(" ", emitScalar(value), "\n");
}

function isLiteral(text: string): boolean {
  return LITERAL.test(text) && !text.includes(PLACEHOLDER);
}

function isMap(value: YamlValue): value is ReadonlyMap<string, YamlValue> {
  return value instanceof Map;
}

function isList(value: YamlValue): value is readonly YamlValue[] {
  return Array.isArray(value);
}

function emitScalar(value: null | boolean | number | string): string {
  switch (typeof value) {
    case "string":
      return emitText(value);
    case "number":
      return emitNumber(value);
    default:
      return String(value);
  }
}

/** Readers disagree about exponents without a point: `1e+21` is a text to some. */
function emitNumber(value: number): string {
  return String(value).replace(/^(-?\d+)e/, "$1.0e");
}

function emitText(text: string): string {
  return isPlain(text) ? text : quoteText(text);
}

/** A text in quotes, on one line. What decK would take for a placeholder is not one in it. */
export function quoteText(text: string): string {
  return JSON.stringify(text)
    .replaceAll(PLACEHOLDER, "\\u0024{{")
    .replaceAll(UNSEEN, (character) =>
      character.length === 1
        ? `\\u${hex(character.charCodeAt(0), 4)}`
        : `\\U${hex(character.codePointAt(0) ?? 0, 8)}`,
    );
}

/** What a placeholder starts with: see fill-placeholders.ts. */
const PLACEHOLDER = "${{";

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

function isPlain(text: string): boolean {
  return (PLAIN.test(text) && !WORDS.has(text.toLowerCase())) || ID.test(text);
}

/** The longest key, as it is written, that may stand before its colon: YAML's own limit is 1024 characters. */
const MAX_KEY = 1000;

/** Text that no reader takes for anything but text, unless it is one of some words. */
const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./-]*$/;
const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Words that are null or booleans to some reader. */
const WORDS: ReadonlySet<string> = new Set([
  ...["null", "true", "false", "yes", "no", "on", "off", "y", "n"],
]);

/** Several lines of what can be seen, as certificates are: legible as a block. Blanks at the ends of lines would get lost. */
const LITERAL =
  /^[!-~](?:[ -~]*[!-~])?(?:\n+[ -~]*[!-~])+\n?$|^[!-~](?:[ -~]*[!-~])?\n$/;

/** What JSON leaves as it is and not every reader, or no eye, can take. */
const UNSEEN =
  /[\u007f-\u00a0\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff]|[\u{e0000}-\u{e0fff}]/gu;
