import {
  Composer,
  LineCounter,
  type CST,
  type Document,
  type YAMLError,
} from "yaml";
import { buildTree } from "./build-tree.ts";
import { deepToken, readTokens } from "./tokens.ts";
import type { DeclarativeFile } from "./parsed.ts";
import { problemAt, type Report, type Source, type Subject } from "./report.ts";
import { MAX_DEPTH, type TreeNode } from "./tree.ts";

/** Longer files are refused unread: the tree of one takes fifty times its size. */
export const MAX_FILE_CHARACTERS = 32 * 1024 * 1024;

/** Syntax errors shown of one file: the first causes most of the others. */
const MAX_SYNTAX_ERRORS = 10;

/** The first document of a file. */
export interface ReadDocument {
  readonly source: Source;
  /** Undefined when the file cannot be read; the report says why. */
  readonly root: TreeNode | undefined;
}

/** Reads a file's text, YAML 1.1 or JSON, as far as a tree with places. What is wrong goes to the report. */
export function readDocument(
  file: DeclarativeFile,
  report: Report,
): ReadDocument {
  const lines = new LineCounter();
  const source: Source = {
    position: (offset) => {
      const { line, col } = lines.linePos(offset);
      return {
        file: file.name,
        line: Math.max(line, 1),
        column: Math.max(col, 1),
      };
    },
  };
  const subject = { source, path: "", entity: "", field: "" };
  return { source, root: readRoot(file, lines, subject, report) };
}

function readRoot(
  file: DeclarativeFile,
  lines: LineCounter,
  subject: Subject,
  report: Report,
): TreeNode | undefined {
  if (file.content.length > MAX_FILE_CHARACTERS) {
    report.problems.push(
      problemAt(
        subject,
        0,
        `the file has ${file.content.length} characters; at most ${MAX_FILE_CHARACTERS} are read: split it`,
      ),
    );
    return undefined;
  }
  const read = readTokens(file.content, lines);
  const deep = "deep" in read ? read.deep : deepToken(read.tokens);
  if (deep !== undefined || !("tokens" in read)) {
    report.problems.push(
      problemAt(
        subject,
        deep ?? 0,
        `nested more than ${MAX_DEPTH} levels deep`,
      ),
    );
    return undefined;
  }
  const { tokens, next } = read;
  if (next !== undefined)
    report.warnings.push(
      problemAt(
        subject,
        next,
        "only the first YAML document of a file is read; this one and what follows is not",
      ),
    );
  const document = compose(tokens);
  if (document === undefined) {
    report.problems.push(
      problemAt(
        subject,
        0,
        "the file is empty: expected a map that starts with _format_version",
      ),
    );
    return undefined;
  }
  if (document.errors.length > 0) {
    report.problems.push(
      ...syntaxProblems(document.errors, file.content, subject),
    );
    return undefined;
  }
  return buildTree(document, subject, report);
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

function syntaxProblems(
  errors: readonly YAMLError[],
  content: string,
  subject: Subject,
) {
  const problems = errors
    .slice(0, MAX_SYNTAX_ERRORS)
    .map((error) =>
      problemAt(
        subject,
        error.pos[0],
        `not valid YAML: ${lowerFirst(error.message)}${templateHint(content, error.pos[0])}`,
      ),
    );
  const more = errors.length - problems.length;
  const last = errors.at(MAX_SYNTAX_ERRORS);
  return last === undefined
    ? problems
    : [
        ...problems,
        problemAt(
          subject,
          last.pos[0],
          `not valid YAML: ${more} more errors from here on`,
        ),
      ];
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
