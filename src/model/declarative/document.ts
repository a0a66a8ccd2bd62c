import {
  Composer,
  LineCounter,
  type CST,
  type Document,
  type YAMLError,
} from "yaml";
import { buildTree } from "./build-tree.ts";
import type { DeclarativeFile } from "./parsed.ts";
import { findPlaceholders } from "./placeholders.ts";
import type { Places } from "./places.ts";
import { problemAt, type Report, type Subject } from "./report.ts";
import { deepToken, readTokens } from "./tokens.ts";
import { MAX_DEPTH, shorten, type TreeNode } from "./tree.ts";

/** Longer files are refused unread: the tree of one takes fifty times its size. */
export const MAX_FILE_CHARACTERS = 32 * 1024 * 1024;

/** Syntax errors shown of one file: the first causes most of the others. */
const MAX_SYNTAX_ERRORS = 10;

/** The first document of a file. */
export interface ReadDocument {
  readonly file: DeclarativeFile;
  /** The document as a whole. */
  readonly subject: Subject;
  /** Undefined when the file cannot be read; the report says why. */
  readonly root: TreeNode | undefined;
}

/** Reads a file's text, YAML 1.1 or JSON, as far as a tree with places. What is wrong goes to the report. */
export function readDocument(
  file: DeclarativeFile,
  places: Places,
  report: Report,
): ReadDocument {
  const lines = new LineCounter();
  const base = places.add(file.name, file.content.length, lines);
  const subject = { source: places, path: "", entity: "", field: "" };
  const refuse: Tell = (offset, message) => {
    report.problems.push(problemAt(subject, base + offset, message));
  };
  const document = readText(file, lines, refuse, (offset, message) => {
    report.warnings.push(problemAt(subject, base + offset, message));
  });
  const root =
    document === undefined
      ? undefined
      : buildTree(document, base, subject, report);
  return { file, subject, root };
}

/** Tells what is at an offset of the file. */
type Tell = (offset: number, message: string) => void;

function readText(
  { content }: DeclarativeFile,
  lines: LineCounter,
  refuse: Tell,
  warn: Tell,
): Document | undefined {
  if (content.length > MAX_FILE_CHARACTERS) {
    refuse(
      0,
      `the file has ${content.length} characters; at most ${MAX_FILE_CHARACTERS} are read: split it`,
    );
    return undefined;
  }
  const read = readTokens(content, lines);
  const deep = "deep" in read ? read.deep : deepToken(read.tokens);
  if (deep !== undefined || !("tokens" in read)) {
    refuse(deep ?? 0, `nested more than ${MAX_DEPTH} levels deep`);
    return undefined;
  }
  const { tokens, next } = read;
  const unfilled = findPlaceholders(content);
  for (const { offset, text } of unfilled.slice(0, MAX_SYNTAX_ERRORS))
    refuse(
      offset,
      `${shorten(text)} is a placeholder that nobody has filled in: the holdfast command does it before it sends a file; whoever sends files in another way has to do it first`,
    );
  if (unfilled.length > 0) return undefined;
  if (next !== undefined)
    warn(
      next,
      "only the first YAML document of a file is read; this one and what follows is not",
    );
  const document = compose(tokens);
  if (document === undefined) {
    refuse(
      0,
      "the file is empty: expected a map that starts with _format_version",
    );
    return undefined;
  }
  if (document.errors.length === 0) return document;
  refuseSyntax(document.errors, content, refuse);
  return undefined;
}

function compose(tokens: readonly CST.Token[]): Document | undefined {
  const composer = new Composer({
    version: "1.1",
    // Scalars are read by readPlainScalar, aliases and merge keys by buildTree, which knows places and bounds.
    schema: "failsafe",
    resolveKnownTags: false,
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
  });
  for (const document of composer.compose(tokens)) return document;
  return undefined;
}

function refuseSyntax(
  errors: readonly YAMLError[],
  content: string,
  refuse: Tell,
): void {
  for (const error of errors.slice(0, MAX_SYNTAX_ERRORS))
    refuse(
      error.pos[0],
      `not valid YAML: ${lowerFirst(error.message)}${templateHint(content, error.pos[0])}`,
    );
  const last = errors.at(MAX_SYNTAX_ERRORS);
  if (last !== undefined)
    refuse(
      last.pos[0],
      `not valid YAML: ${errors.length - MAX_SYNTAX_ERRORS} more errors from here on`,
    );
}

function lowerFirst(text: string): string {
  return `${text.slice(0, 1).toLowerCase()}${text.slice(1)}`;
}

/** Many a file in the wild is a template that was never rendered. */
function templateHint(content: string, offset: number): string {
  const start = content.lastIndexOf("\n", Math.max(offset - 1, 0)) + 1;
  const end = content.indexOf("\n", offset);
  const line = content.slice(start, end === -1 ? undefined : end);
  return /\{\{|\{%|<%|^\s*__\w+__\s*$/.test(line)
    ? "; this looks like a template: render it first"
    : "";
}
