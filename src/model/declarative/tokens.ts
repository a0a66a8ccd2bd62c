import { Lexer, Parser, type CST, type LineCounter } from "yaml";
import { MAX_DEPTH } from "./tree.ts";

/**
 * How far to the right a block of a file may start. The parser's stack grows with every level that a line closes, and
 * each level of a block is further to the right than the last but one. Files of people reach 60.
 */
const MAX_BLOCK_COLUMN = 256;

/** The first document of a text, or where it nests too deeply to be parsed. */
export type Tokens =
  | {
      readonly tokens: readonly CST.Token[];
      /** Where a second document starts. */
      readonly next?: number;
    }
  | { readonly deep: number };

/** Splits a text into the tokens of its first document. */
export function readTokens(content: string, lines: LineCounter): Tokens {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  const guard = new BlockGuard();
  const tokens: CST.Token[] = [];
  let documents = 0;
  const take = (found: Iterable<CST.Token>): number | undefined => {
    for (const token of found) {
      if (token.type === "document" && ++documents > 1) return token.offset;
      // One that belongs to the second document.
      if (token.type === "directive" && documents > 0) continue;
      tokens.push(token);
    }
    return undefined;
  };
  for (const lexeme of new Lexer().lex(content)) {
    const deep = guard.pass(lexeme);
    if (deep !== undefined) return { deep };
    const next = take(parser.next(lexeme));
    if (next !== undefined) return { tokens, next };
  }
  const next = take(parser.end());
  return next === undefined ? { tokens } : { tokens, next };
}

/** Watches lexemes for a block that starts too far to the right. */
class BlockGuard {
  #offset = 0;
  #lineStart = 0;
  #flowDepth = 0;
  #inScalar = false;
  /** Whether nothing but blanks stands before on the line. */
  #isFirst = true;

  /** The offset of the lexeme when it starts such a block. */
  pass(lexeme: string): number | undefined {
    if (ZERO_WIDTH.has(lexeme)) {
      this.#inScalar = lexeme === SCALAR;
      return undefined;
    }
    const start = this.#offset;
    const column = start - this.#lineStart;
    this.#offset += lexeme.length;
    const lineBreak = lexeme.lastIndexOf("\n");
    if (lineBreak !== -1) this.#lineStart = start + lineBreak + 1;
    const structure = !this.#inScalar;
    this.#inScalar = false;
    if (structure) this.#flowDepth += FLOW_DEPTH.get(lexeme) ?? 0;
    const isBlank = /^[\s#]/.test(lexeme);
    const isFirst = this.#isFirst;
    this.#isFirst = lineBreak !== -1 || (isFirst && isBlank);
    const startsBlock =
      (structure && (lexeme === "-" || lexeme === "?")) || isFirst;
    return startsBlock &&
      !isBlank &&
      this.#flowDepth === 0 &&
      column > MAX_BLOCK_COLUMN
      ? start
      : undefined;
  }
}

const SCALAR = "\u001f";

/** What the lexer says beside the text itself. */
const ZERO_WIDTH: ReadonlySet<string> = new Set(["\u0002", "\u0018", SCALAR]);

const FLOW_DEPTH: ReadonlyMap<string, number> = new Map([
  ["[", 1],
  ["{", 1],
  ["]", -1],
  ["}", -1],
]);

/**
 * The offset of a collection that is nested too deeply. It is looked for before anything recursive sees the tokens: the
 * composer exhausts the stack at a thousand levels, and not always catchably.
 */
export function deepToken(tokens: readonly CST.Token[]): number | undefined {
  const pending: { token: CST.Token; depth: number }[] = [];
  const push = (token: CST.Token | null | undefined, depth: number) => {
    if (token != null) pending.push({ token, depth });
  };
  for (const token of tokens)
    if (token.type === "document") push(token.value, 1);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    if (!("items" in token)) continue;
    if (depth > MAX_DEPTH) return token.offset;
    for (const entry of token.items) {
      push(entry.key, depth + 1);
      push(entry.value, depth + 1);
    }
  }
  return undefined;
}
