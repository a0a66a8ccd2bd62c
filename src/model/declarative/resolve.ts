import { create, type Message } from "@bufbuild/protobuf";
import {
  ReferenceSchema,
  type Reference,
} from "../../gen/holdfast/config/v1/reference_pb.js";
import {
  ResourceSchema,
  type Resource,
} from "../../gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults } from "../defaults.ts";
import { deterministicId, idOfKey, isUuid } from "../ids.ts";
import { caseOf, KINDS, schemaOf, type Kind } from "../kinds.ts";
import type { DeclaredEntity } from "./parsed.ts";
import type { RawEntity, RawReference } from "./raw-entity.ts";
import { problemAt, type Report } from "./report.ts";

/** An entity with its references looked up. */
export interface ResolvedEntity {
  readonly raw: RawEntity;
  readonly declared: DeclaredEntity;
  /** As it would be stored, were it new: all ids in place, defaults filled. */
  readonly stored: Resource;
}

/** Gives entities their ids and references. They come back with parents before what refers to them. */
export function resolveEntities(
  entities: readonly RawEntity[],
  report: Report,
): ResolvedEntity[] {
  const index = new Index(entities);
  const byKind = new Map<Kind, RawEntity[]>(KINDS.map((kind) => [kind, []]));
  for (const raw of entities) byKind.get(raw.kind)?.push(raw);
  return [...byKind.values()]
    .flat()
    .map((raw) => resolveEntity(raw, index, report));
}

/** What the entities of all files are found by, and the ids found for them so far. */
class Index {
  readonly #named = new Map<string, RawEntity>();
  readonly #identified = new Map<string, RawEntity>();
  readonly #ids = new Map<RawEntity, string>();
  readonly #taken = new Map<string, number>();

  constructor(entities: readonly RawEntity[]) {
    for (const raw of entities) {
      if (raw.id !== "") this.#identified.set(`${raw.kind}/${raw.id}`, raw);
      const name = primaryName(raw);
      if (name !== "") this.#named.set(`${raw.kind}/${name}`, raw);
    }
    // A username that equals another consumer's custom_id wins.
    for (const raw of entities) {
      const name = `${raw.kind}/${referableName(raw)}`;
      if (!this.#named.has(name)) this.#named.set(name, raw);
    }
  }

  named(kind: Kind, name: string): RawEntity | undefined {
    return name === "" ? undefined : this.#named.get(`${kind}/${name}`);
  }

  identified(kind: Kind, id: string): RawEntity | undefined {
    return this.#identified.get(`${kind}/${id}`);
  }

  /** The id of an entity whose kind has been resolved; else that which it, or its name, would get. */
  idOf(raw: RawEntity): string {
    return this.#ids.get(raw) ?? raw.id;
  }

  /** Gives an entity its id. Entities alike in everything get different ones, in their order. */
  mint(raw: RawEntity, stored: Resource): string {
    const id = raw.id === "" ? this.#derive(raw, stored) : raw.id;
    this.#ids.set(raw, id);
    return id;
  }

  #derive(raw: RawEntity, stored: Resource): string {
    const first = deterministicId(stored);
    const ordinal = this.#taken.get(first) ?? 0;
    this.#taken.set(first, ordinal + 1);
    return ordinal > 0 && KEYLESS.has(raw.kind) && primaryName(raw) === ""
      ? deterministicId(stored, ordinal)
      : first;
  }
}

/** Kinds of which several may be alike in everything but the id. */
const KEYLESS: ReadonlySet<Kind> = new Set(["certificate", "route", "service"]);

function resolveEntity(
  raw: RawEntity,
  index: Index,
  report: Report,
): ResolvedEntity {
  const said: Record<string, Reference> = {};
  const stored: Record<string, Reference> = {};
  const { parent } = raw;
  if (parent !== undefined) {
    const localName =
      schemaOf(raw.kind).fields.find(({ name }) => name === parent.field)
        ?.localName ?? "";
    said[localName] = referenceToParent(parent.entity, index);
    stored[localName] = byId(index.idOf(parent.entity));
  }
  for (const reference of raw.references) {
    const found = lookUp(reference, index);
    if (parent?.field === reference.field.name) {
      if (
        found.entity !== parent.entity &&
        found.id !== index.idOf(parent.entity)
      )
        report.problems.push(differentParent(reference, parent.entity));
      continue;
    }
    said[reference.field.localName] = found.said;
    stored[reference.field.localName] = byId(found.id);
  }
  const full = fillDefaults(resourceOf(raw, stored));
  return {
    raw,
    declared: {
      kind: raw.kind,
      resource: resourceOf(raw, said),
      idIfNew: index.mint(raw, full),
      position: raw.subject.source.position(raw.offset),
      path: raw.subject.path,
      label: raw.subject.entity,
    },
    stored: full,
  };
}

function resourceOf(
  raw: RawEntity,
  references: Readonly<Record<string, Reference>>,
): Resource {
  const value: Message = create(schemaOf(raw.kind), {
    ...raw.init,
    id: raw.id,
    ...references,
  });
  const kind = { case: caseOf(raw.kind), value };
  return create(ResourceSchema, { kind: kind as Resource["kind"] });
}

function byId(id: string): Reference {
  return create(ReferenceSchema, { id });
}

function byName(name: string): Reference {
  return create(ReferenceSchema, { name });
}

/** By name where it has one: the catalog may know the parent by another id. */
function referenceToParent(parent: RawEntity, index: Index): Reference {
  const name = referableName(parent);
  return index.named(parent.kind, name) === parent
    ? byName(name)
    : byId(index.idOf(parent));
}

interface Found {
  /** The reference as the catalog is to read it. */
  readonly said: Reference;
  /** The entity of the files that is meant; undefined when none of them is. */
  readonly entity: RawEntity | undefined;
  readonly id: string;
}

function lookUp({ to, target }: RawReference, index: Index): Found {
  switch (target.by) {
    case "id":
      return lookUpId(to, target.id, index);
    case "name":
      return lookUpName(to, target.name, index);
    case "text":
      // Names come first, as in Kong: a UUID may be somebody's name.
      return isUuid(target.text) && index.named(to, target.text) === undefined
        ? lookUpId(to, target.text.toLowerCase(), index)
        : lookUpName(to, target.text, index);
    default:
      return target satisfies never;
  }
}

function lookUpId(kind: Kind, id: string, index: Index): Found {
  return { said: byId(id), entity: index.identified(kind, id), id };
}

function lookUpName(kind: Kind, name: string, index: Index): Found {
  const entity = index.named(kind, name);
  const id = entity === undefined ? "" : index.idOf(entity);
  return {
    said: byName(name),
    entity,
    // Not in the files: the id it would have, had a file made it.
    id: id === "" ? idOfKey(kind, name) : id,
  };
}

/** The name that the kind is known by first. */
function primaryName(raw: RawEntity): string {
  return text(raw, raw.kind === "consumer" ? "username" : "name");
}

/** The name that references use; of plugins and the like there is none. */
function referableName(raw: RawEntity): string {
  if (raw.kind === "plugin") return "";
  const name = primaryName(raw);
  return name === "" && raw.kind === "consumer" ? text(raw, "customId") : name;
}

function text(raw: RawEntity, localName: string): string {
  const value = raw.init[localName];
  return typeof value === "string" ? value : "";
}

function differentParent(reference: RawReference, parent: RawEntity) {
  const { target, to } = reference;
  const written =
    target.by === "text"
      ? target.text
      : target.by === "id"
        ? target.id
        : target.name;
  return problemAt(
    reference.subject,
    reference.offset,
    `names ${to} ${JSON.stringify(written)}, but stands inside ${parent.subject.entity}: leave it out, or move the entity out of there`,
  );
}
