import type { Kind } from "../kinds.ts";
import { mapOf, mergedOver } from "./merge-entries.ts";
import type { Collector } from "./raw-entity.ts";
import { didYouMean, type Init } from "./read-field.ts";
import { inside, problemAt, type Subject } from "./report.ts";
import {
  describeNode,
  isNull,
  mapEntries,
  shorten,
  type MapEntry,
} from "./tree.ts";
import { keysOf } from "./vocabulary.ts";

type Entries = ReadonlyMap<string, MapEntry>;

const CONFIG_NAME = "_config";

/** The keys of an entity with what decK's defaults and shared configurations say beside them. */
export function withDeckSettings(
  kind: Kind,
  own: Entries,
  subject: Subject,
  collector: Collector,
): Entries {
  const { defaults } = collector.settings.deck;
  const under = defaults.get(kind);
  const all = under === undefined ? own : mergedOver(own, under, "give way");
  return kind === "plugin" ? withSharedConfig(all, subject, collector) : all;
}

/** A plugin's configuration over the one that it names, if it names any. */
function withSharedConfig(
  own: Entries,
  subject: Subject,
  { settings: { deck }, report }: Collector,
): Entries {
  const named = own.get(CONFIG_NAME);
  if (named === undefined) return own;
  const { value } = named;
  const rest = new Map(own);
  rest.delete(CONFIG_NAME);
  if (isNull(value)) return rest;
  const name = value.type === "scalar" ? value.text : undefined;
  const shared = deck.pluginConfigs.get(name ?? "");
  const config = own.get("config");
  if (shared === undefined) {
    const hint = name && didYouMean(name, deck.pluginConfigs.keys());
    report.problems.push(
      problemAt(
        inside(subject, CONFIG_NAME),
        value.offset,
        name === undefined
          ? `expected a name in _plugin_configs, got ${describeNode(value, true)}`
          : `there is no ${JSON.stringify(shorten(name))} in _plugin_configs${hint}`,
      ),
    );
    return rest;
  }
  const mine =
    config === undefined || isNull(config.value)
      ? new Map<string, MapEntry>()
      : mapEntries(config.value);
  // What is no map is told where the field is read.
  if (mine === undefined) return rest;
  const at = config ?? named;
  return rest.set("config", {
    keyOffset: at.keyOffset,
    value: mapOf(mergedOver(mine, shared, "stay"), at.value.offset),
  });
}

/** Tags an entity with what all are tagged with. */
export function addSelectTags(
  kind: Kind,
  init: Init,
  { settings: { deck } }: Collector,
): void {
  const { selectTags } = deck;
  if (selectTags.length === 0 || keysOf(kind).get("tags")?.type !== "field")
    return;
  const own = init["tags"];
  const tags = Array.isArray(own) ? own.map(String) : [];
  init["tags"] = [...tags, ...selectTags.filter((tag) => !tags.includes(tag))];
}
