import type { Position, Problem } from "./parsed.ts";

/** Where problems and warnings are collected while files are read. */
export interface Report {
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

/** A text with a name whose offsets have lines and columns. */
export interface Source {
  readonly position: (offset: number) => Position;
}

/** What is being read: what a problem found there is about. */
export interface Subject {
  readonly source: Source;
  readonly path: string;
  readonly entity: string;
  readonly field: string;
}

/** The subject of a key inside another subject. */
export function inside(subject: Subject, key: string): Subject {
  return {
    ...subject,
    path: subject.path === "" ? key : `${subject.path}.${key}`,
    field: subject.field === "" ? key : `${subject.field}.${key}`,
  };
}

/** The subject of an item of a list. */
export function item(subject: Subject, index: number): Subject {
  return {
    ...subject,
    path: `${subject.path}[${index}]`,
    field: subject.field === "" ? "" : `${subject.field}[${index}]`,
  };
}

/** Something wrong with a subject, found at an offset of its source. */
export function problemAt(
  subject: Subject,
  offset: number,
  message: string,
): Problem {
  const { source, path, entity, field } = subject;
  return { ...source.position(offset), path, entity, field, message };
}
