import { pluralOf, KINDS, kindOf, type Kind } from "../kinds.ts";
import type { ReadDocument } from "./document.ts";
import { mergedOver } from "./merge-entries.ts";
import type { ParseOptions } from "./parsed.ts";
import { didYouMean, readField } from "./read-field.ts";
import { inside, problemAt, type Report, type Subject } from "./report.ts";
import {
  describeNode,
  isNull,
  mapEntries,
  shorten,
  type MapEntry,
} from "./tree.ts";
import { keysOf } from "./vocabulary.ts";

type Entries = ReadonlyMap<string, MapEntry>;

/** What decK's keys beside the entities say, of any file for all of them. */
export interface DeckSettings {
  /** What entities of a kind have that do not say it themselves. */
  readonly defaults: ReadonlyMap<Kind, Entries>;
  /** Configurations that plugins name with `_config`. */
  readonly pluginConfigs: ReadonlyMap<string, Entries>;
  /** What every entity is tagged with. */
  readonly selectTags: readonly string[];
}

/** The keys that {@link readDeckSettings} reads at the top of a file. */
export const DECK_KEYS: ReadonlySet<string> = new Set([
  "_info",
  "_konnect",
  "_plugin_configs",
  "_workspace",
]);

/** Reads what decK's keys say in any of the files. */
export function readDeckSettings(
  documents: readonly ReadDocument[],
  options: ParseOptions,
  report: Report,
): DeckSettings {
  const reader = new DeckReader(options, report);
  for (const { root, subject } of documents)
    if (root?.type === "map") reader.read(root.entries, subject);
  return reader;
}

class DeckReader implements DeckSettings {
  readonly defaults = new Map<Kind, Entries>();
  readonly pluginConfigs = new Map<string, Entries>();
  selectTags: readonly string[];
  readonly #options: ParseOptions;
  readonly #report: Report;
  /** Where the tags were said before; undefined where the caller has said them. */
  #tagsFrom: string | undefined;
  #hasTags: boolean;

  constructor(options: ParseOptions, report: Report) {
    this.#options = options;
    this.#report = report;
    this.selectTags = [...new Set(options.selectTags)];
    this.#hasTags = this.selectTags.length > 0;
  }

  read(root: Entries, top: Subject): void {
    for (const [key, entry] of root) {
      const at = inside(top, key);
      if (isNull(entry.value)) continue;
      switch (key) {
        case "_info":
          this.#readInfo(entry, at);
          break;
        case "_plugin_configs":
          this.#readPluginConfigs(entry, at);
          break;
        case "_workspace":
          this.#readWorkspace(entry, at);
          break;
        case "_konnect":
          this.#warn(
            at,
            entry.keyOffset,
            "ignored: it names a control plane of Konnect",
          );
          break;
        default:
      }
    }
  }

  #readInfo({ value }: MapEntry, subject: Subject): void {
    const entries = mapEntries(value);
    if (entries === undefined) {
      this.#refuse(
        subject,
        value.offset,
        `expected a map, got ${describeNode(value, false)}`,
      );
      return;
    }
    for (const [key, entry] of entries) {
      const at = inside(subject, key);
      if (isNull(entry.value)) continue;
      switch (key) {
        case "select_tags":
          this.#readSelectTags(entry, at);
          break;
        case "defaults":
          this.#readDefaults(entry, at);
          break;
        case "default_lookup_tags":
          this.#warn(
            at,
            entry.keyOffset,
            "ignored: a reference finds what the control plane has, whatever its tags",
          );
          break;
        case "consumer_group_policy_overrides":
          if (entry.value.type === "scalar" && entry.value.value === false)
            break;
          this.#refuse(
            at,
            entry.keyOffset,
            "is not supported: scope a plugin to the consumer group",
          );
          break;
        default:
          this.#refuse(
            at,
            entry.keyOffset,
            `unknown key${didYouMean(key, ["select_tags", "defaults"])}`,
          );
      }
    }
  }

  #readSelectTags({ value }: MapEntry, subject: Subject): void {
    const before = this.#report.problems.length;
    const read = readField(TAGS, value, subject, this.#report);
    if (!Array.isArray(read) || this.#report.problems.length > before) return;
    const tags = [...new Set(read.map(String))];
    if (tags.length === 0) return;
    if (this.#hasTags && !sameMembers(tags, this.selectTags)) {
      this.#refuse(
        subject,
        value.offset,
        `is ${tags.join(", ")}, and ${this.#tagsFrom ?? "the request"} says ${this.selectTags.join(", ")}: all files applied together have the same`,
      );
      return;
    }
    const { file, line, column } = subject.source.position(value.offset);
    this.selectTags = tags;
    this.#tagsFrom ??= `${file}:${line}:${column}`;
    this.#hasTags = true;
  }

  #readDefaults({ value }: MapEntry, subject: Subject): void {
    const entries = mapEntries(value);
    if (entries === undefined) {
      this.#refuse(
        subject,
        value.offset,
        `expected a map from kinds to fields, got ${describeNode(value, false)}`,
      );
      return;
    }
    for (const [word, entry] of entries) {
      const at = inside(subject, word);
      if (isNull(entry.value)) continue;
      const kind = kindOf(word);
      const fields = mapEntries(entry.value);
      if (kind === undefined || word === pluralOf(kind))
        this.#refuse(
          at,
          entry.keyOffset,
          `unknown kind of entity${kind === undefined ? didYouMean(word, KINDS) : `; did you mean "${kind}"?`}`,
        );
      else if (fields === undefined)
        this.#refuse(
          at,
          entry.value.offset,
          `expected a map, got ${describeNode(entry.value, false)}`,
        );
      else this.#addDefaults(kind, fields, at);
    }
  }

  #addDefaults(kind: Kind, fields: Entries, subject: Subject): void {
    const good = new Map<string, MapEntry>();
    for (const [key, entry] of fields) {
      if (isNull(entry.value)) continue;
      const at = inside(subject, key);
      const known = keysOf(kind).get(key);
      if (known?.type !== "field") {
        this.#refuse(
          at,
          entry.keyOffset,
          known === undefined
            ? `unknown field${didYouMean(key, keysOf(kind).keys())}`
            : "cannot have a default",
        );
        continue;
      }
      const before = this.#report.problems.length;
      readField(known.field, entry.value, at, this.#report);
      if (this.#report.problems.length === before) good.set(key, entry);
    }
    // Of two files that say the same field the first is followed.
    const earlier = this.defaults.get(kind) ?? new Map<string, MapEntry>();
    this.defaults.set(kind, mergedOver(earlier, good, "give way"));
  }

  #readPluginConfigs({ value }: MapEntry, subject: Subject): void {
    const entries = mapEntries(value);
    if (entries === undefined) {
      this.#refuse(
        subject,
        value.offset,
        `expected a map from names to configurations, got ${describeNode(value, false)}`,
      );
      return;
    }
    for (const [name, entry] of entries) {
      const at = inside(subject, name);
      const config = mapEntries(entry.value);
      if (config === undefined)
        this.#refuse(
          at,
          entry.value.offset,
          `expected a map, got ${describeNode(entry.value, true)}`,
        );
      else if (this.pluginConfigs.has(name))
        this.#refuse(
          at,
          entry.keyOffset,
          "is declared twice: another file has it too",
        );
      else this.pluginConfigs.set(name, config);
    }
  }

  #readWorkspace({ value, keyOffset }: MapEntry, subject: Subject): void {
    const name = value.type === "scalar" ? value.text : "";
    const { workspace } = this.#options;
    if (name === workspace) return;
    const target =
      workspace === undefined ? "" : `, which is ${JSON.stringify(workspace)}`;
    this.#warn(
      subject,
      keyOffset,
      `${JSON.stringify(shorten(name))} is ignored: files go into the workspace that the request names${target}`,
    );
  }

  #refuse(subject: Subject, offset: number, message: string): void {
    this.#report.problems.push(problemAt(subject, offset, message));
  }

  #warn(subject: Subject, offset: number, message: string): void {
    this.#report.warnings.push(problemAt(subject, offset, message));
  }
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one) => b.includes(one));
}

const TAGS = tagsField();

function tagsField() {
  const known = keysOf("service").get("tags");
  if (known?.type !== "field") throw new TypeError("services have no tags");
  return known.field;
}
