import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { DeclaredEntity } from "../declarative/parsed.ts";
import { fillDefaults } from "../defaults.ts";
import type { Kind } from "../kinds.ts";
import { referencesOf } from "../references.ts";
import { idOf } from "../messages.ts";
import { nameOf } from "../unique.ts";

type Case = Exclude<Resource["kind"]["case"], undefined>;
type ValueOf<C extends Case> = Extract<Resource["kind"], { case: C }>["value"];

/** An entity of the files with what it refers to in them. */
export interface Linked<V = unknown> {
  readonly entity: DeclaredEntity;
  /** With all defaults. */
  readonly value: V;
  /** The id it has, or would get. */
  readonly id: string;
  /** By field; what is not in the files is missing here. */
  readonly refers: ReadonlyMap<string, Linked>;
}

/** The entities of files, linked. */
export class Graph {
  /** Under a case stand values of that case only: which, is for the caller to say. */
  readonly #byCase = new Map<Case, Linked<never>[]>();

  constructor(entities: readonly DeclaredEntity[]) {
    const found = new Map<string, Linked>();
    for (const entity of entities) {
      const filled = fillDefaults(entity.resource);
      if (filled.kind.case === undefined) continue;
      const refers = new Map<string, Linked>();
      for (const { field, kind, ref } of referencesOf(entity.resource)) {
        // What is referred to comes before what refers to it.
        const target = found.get(keyOf(kind, ref.id ?? "", ref.name ?? ""));
        if (target !== undefined) refers.set(field, target);
      }
      const own = idOf(filled);
      const linked = {
        entity,
        value: filled.kind.value as never,
        id: own === "" ? entity.idIfNew : own,
        refers,
      };
      for (const name of namesOf(filled))
        if (name !== "") found.set(keyOf(entity.kind, "", name), linked);
      found.set(keyOf(entity.kind, linked.id, ""), linked);
      const same = this.#byCase.get(filled.kind.case) ?? [];
      this.#byCase.set(filled.kind.case, same);
      same.push(linked);
    }
  }

  /** The entities of a kind, in the order of the files. */
  all<C extends Case>(of: C): readonly Linked<ValueOf<C>>[] {
    return this.#byCase.get(of) ?? [];
  }
}

function keyOf(kind: Kind, id: string, name: string): string {
  return id === "" ? `${kind}\0name\0${name}` : `${kind}\0id\0${id}`;
}

function namesOf(resource: Resource): string[] {
  const { kind } = resource;
  if (kind.case === "plugin") return [];
  return kind.case === "consumer"
    ? [kind.value.customId, kind.value.username]
    : [nameOf(resource)];
}
