import { LineCounter, type CST } from "yaml";
import { readTokens } from "./tokens.ts";

/** Something in a file that stands for a value of the environment. */
export interface Placeholder {
  readonly offset: number;
  readonly text: string;
}

/** A scalar that has placeholders. */
export interface ScalarWithPlaceholders {
  readonly token: ScalarToken;
  /** In their order. */
  readonly placeholders: readonly Placeholder[];
}

export type ScalarToken = CST.FlowScalar | CST.BlockScalar;

/** What {@link scalarsWithPlaceholders} found. */
export interface FoundScalars {
  /** In the order of the file. Their tokens are of a text that has a mask for every placeholder. */
  readonly scalars: readonly ScalarWithPlaceholders[];
  /** Matches one mask in a token's text. */
  readonly mask: RegExp;
}

/** `${{ env "DECK_X" }}` */
const DECK = /\$\{\{[^\n]*?\}\}/g;
/** That, and `$X`, `${X}` and `$$` before what would be one of them. */
const SHELL =
  /\$\{\{[^\n]*?\}\}|\$\$(?=[A-Za-z_{])|\$\{[^}\n]*\}|\$[A-Za-z_]\w*/g;

/** decK's placeholders in the scalars of a file's first document. Those in comments stand for nothing. */
export function findPlaceholders(content: string): Placeholder[] {
  return scalarsWithPlaceholders(content, false).scalars.flatMap(
    ({ placeholders }) => placeholders,
  );
}

/**
 * The scalars that have placeholders. Their quotes make many a file no YAML before they are filled in, so the scalars are
 * looked for in a text of the same length that has letters in their place: every offset is that of the file.
 */
export function scalarsWithPlaceholders(
  content: string,
  shell: boolean,
): FoundScalars {
  const [first, rest] = unusedCharacters(content);
  const found: FoundScalars & { scalars: ScalarWithPlaceholders[] } = {
    scalars: [],
    mask: new RegExp(`${first}${rest}*`, "gu"),
  };
  const placeholders: Placeholder[] = [];
  const masked = content.replace(shell ? SHELL : DECK, (text, at: number) => {
    placeholders.push({ offset: at, text });
    return first + rest.repeat(text.length - 1);
  });
  if (placeholders.length === 0) return found;
  const read = readTokens(masked, new LineCounter());
  if (!("tokens" in read)) return found;
  let at = 0;
  for (const { token, start, end } of inOrder(scalarTokens(read.tokens))) {
    const offset = (index: number) => placeholders[index]?.offset ?? Infinity;
    while (offset(at) < start) at++;
    const first = at;
    while (offset(at) < end) at++;
    if (at > first)
      found.scalars.push({
        token,
        placeholders: placeholders.slice(first, at),
      });
  }
  return found;
}

function inOrder(tokens: readonly ScalarToken[]) {
  return tokens
    .map((token) => {
      const [start, end] = rangeOf(token);
      return { token, start, end };
    })
    .sort((a, b) => a.start - b.start);
}

/** Where a scalar stands with its quotes, or with the `|` before it. */
export function rangeOf(token: ScalarToken): readonly [number, number] {
  if (token.type !== "block-scalar")
    return [token.offset, token.offset + token.source.length];
  const header = token.props.find(({ type }) => type === "block-scalar-header");
  const last = token.props.at(-1);
  const body =
    last === undefined || !("source" in last)
      ? token.offset
      : last.offset + last.source.length;
  return [header?.offset ?? token.offset, body + token.source.length];
}

/** Two letters that no parser gives a meaning and the text does not have. */
function unusedCharacters(content: string): readonly [string, string] {
  const used = new Set(content.match(/[\ue000-\uf8ff]/g));
  const unused: string[] = [];
  for (let code = 0xe000; code <= 0xf8ff && unused.length < 2; code++)
    if (!used.has(String.fromCharCode(code)))
      unused.push(String.fromCharCode(code));
  // A text that has all 6400 of them is no configuration.
  return [unused[0] ?? "\ue000", unused[1] ?? "\ue001"];
}

function scalarTokens(tokens: readonly CST.Token[]): ScalarToken[] {
  const found: ScalarToken[] = [];
  const pending: CST.Token[] = [];
  const push = (token: CST.Token | null | undefined): void => {
    if (token != null) pending.push(token);
  };
  for (const token of tokens) if (token.type === "document") push(token.value);
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    switch (next.type) {
      case "scalar":
      case "single-quoted-scalar":
      case "double-quoted-scalar":
      case "block-scalar":
        found.push(next);
        break;
      case "block-map":
      case "block-seq":
      case "flow-collection":
        for (const { key, value } of next.items) {
          push(key);
          push(value);
        }
        break;
      default:
    }
  return found;
}
