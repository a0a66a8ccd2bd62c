import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "../kinds.ts";

/** A declarative file, by the name that problems are reported under. */
export interface DeclarativeFile {
  readonly name: string;
  readonly content: string;
}

/** What is said about files by who hands them in. */
export interface ParseOptions {
  /** What every entity is tagged with, as `_info.select_tags` says it in a file. Default: only what that says. */
  readonly selectTags?: readonly string[];
  /** The workspace that the files are for. Without it any `_workspace` in them is remarked on. */
  readonly workspace?: string;
}

/** A place in a declarative file. Line and column count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One entity of a declarative file, ready to be put into a catalog. */
export interface DeclaredEntity {
  readonly kind: Kind;
  /**
   * What the file says, and nothing else: no defaults. The id is empty unless the file gives one. References are `{id}`
   * where the file has a UUID, else `{name}`; a child that stands inside its parent refers to it by name when the
   * parent has one, else by the parent's id, which is its `idIfNew` when the file gives none.
   */
  readonly resource: Resource;
  /** The id to use when nothing with the entity's natural key exists yet: the same for the same file, always. */
  readonly idIfNew: string;
  readonly position: Position;
  /** Where in the document: `services[0].routes[1]`. */
  readonly path: string;
  /** What people call it: `route "x"`, or `route #2` of its list when it has no name. */
  readonly label: string;
}

/** Something in a declarative file that is wrong, or worth a warning. */
export interface Problem extends Position {
  /** Where in the document: `services[0].routes[1].paths[0]`. Empty when it is about the whole document. */
  readonly path: string;
  /** The entity's label; empty when it is not about one entity. */
  readonly entity: string;
  /** The field's path inside the entity: `paths[0]`. Empty when it is not about one field. */
  readonly field: string;
  /** What is wrong and what to do, without the parts above. */
  readonly message: string;
}

/** What a set of declarative files says. Nothing of it may be applied when there are problems. */
export interface ParsedDeclarative {
  /** In an order in which what is referred to comes before what refers to it. Empty of what had problems. */
  readonly entities: readonly DeclaredEntity[];
  /** In the order of the files and lines. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** References to what the files do not have: wrong unless the catalog has it. */
  readonly missing: readonly Problem[];
  /** What every entity is tagged with: pruning is for what has all of these. Empty: for everything. */
  readonly selectTags: readonly string[];
}

/** One line for people: `kong.yml:12:5: route "x": paths[0]: must start with "/"`. */
export function describeProblem(problem: Problem): string {
  return [
    `${problem.file}:${problem.line}:${problem.column}`,
    ...[problem.entity, problem.field].filter((part) => part !== ""),
    problem.message,
  ].join(": ");
}
