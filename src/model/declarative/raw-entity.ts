import type { DescField } from "@bufbuild/protobuf";
import type { Kind } from "../kinds.ts";
import type { DeckSettings } from "./deck.ts";
import type { Format } from "./migrate-path.ts";
import type { Init } from "./read-field.ts";
import type { Report, Subject } from "./report.ts";
import type { MapEntry } from "./tree.ts";

/** What holds for all entities of one file. */
interface FileSettings {
  readonly format: Format;
  /** False when the values are as Kong stores them: passwords are hashes. */
  readonly transform: boolean;
  readonly deck: DeckSettings;
}

/** An entity as its file has it, its references not yet looked up. */
export interface RawEntity {
  readonly kind: Kind;
  /** As the file gives it, in lower case; empty when it gives none. */
  readonly id: string;
  /** All fields but the id and the references. */
  readonly init: Init;
  /** Its keys as the file has them. */
  readonly entries: ReadonlyMap<string, MapEntry>;
  /** The keys that something has been found wrong with. */
  readonly flawed: ReadonlySet<string>;
  readonly references: readonly RawReference[];
  /** The entity that it stands in, and the reference to it that follows from that. */
  readonly parent?: { readonly entity: RawEntity; readonly field: string };
  readonly subject: Subject;
  readonly offset: number;
}

/** A reference as a file writes it. */
export interface RawReference {
  readonly field: DescField;
  readonly to: Kind;
  /** Written as one text it may be a name or an id, and names come first. */
  readonly target:
    | { readonly by: "text"; readonly text: string }
    | { readonly by: "id"; readonly id: string }
    | { readonly by: "name"; readonly name: string };
  readonly subject: Subject;
  readonly offset: number;
}

/** Where the entities of a file go while it is read. */
export interface Collector {
  readonly settings: FileSettings;
  readonly entities: RawEntity[];
  readonly report: Report;
}
