import type {
  ConsumerGroup,
  ConsumerIdentity,
  KeyOwner,
  PasswordOwner,
  TokenOwner,
} from "../../plugins/plugin.ts";
import type { PluginInstance } from "../plugin-chains.ts";
import type { TlsSettings } from "../proxy/upstream-agent.ts";
import type { Degradation, ServedRoute, ServedService } from "../runtime.ts";
import { SharedMap } from "../shared-map.ts";
import type { ConfiguredTarget } from "../upstreams/upstream-settings.ts";
import type { Draft } from "./draft.ts";
import { keysOf, type KeySet } from "./key-set.ts";
import type { LinkedUpstream } from "./link-upstream.ts";

/** What entries of each kind are to others and to requests, once their references are followed. */
export interface LinkedOf {
  /** In PEM. */
  readonly ca_certificate: string;
  readonly certificate: TlsSettings["identities"];
  readonly sni: TlsSettings["identities"];
  readonly consumer: ConsumerIdentity;
  readonly consumer_group: ConsumerGroup;
  /** The group. */
  readonly consumer_group_consumer: ConsumerGroup;
  readonly keyauth_credential: KeyOwner;
  readonly basicauth_credential: PasswordOwner;
  readonly jwt_secret: TokenOwner;
  /** The group. */
  readonly acl: string;
  readonly target: ConfiguredTarget;
  readonly upstream: LinkedUpstream;
  readonly service: ServedService;
  readonly route: ServedRoute;
  readonly plugin: PluginInstance;
}

/** The kinds that something is made of. */
export type LinkedKind = keyof LinkedOf;

/** The draft of a kind. */
export type DraftOf<K extends LinkedKind> = Extract<
  Draft,
  { readonly kind: K }
>;

/** One entry. Never changed: a new one takes its place. */
export interface LinkedEntry {
  readonly draft: Draft;
  /** Undefined when nothing of it is served. */
  readonly value: LinkedOf[LinkedKind] | undefined;
  /** What it was made from besides its draft; see `Links.readers`. */
  readonly reads: readonly string[];
}

/** Something about an entry that is served, but not as it is meant or not without a word. */
export interface Note extends Degradation {
  readonly type: "degraded" | "warning";
}

/** What all entries came to. Immutable; two revisions share what did not change between them. */
export interface LinkState {
  readonly entries: SharedMap<LinkedEntry>;
  /** The keys of the entries that have a name: see `nameToken`. */
  readonly names: SharedMap<KeySet>;
  /** By what was read, the keys of the entries that were made from it. */
  readonly readers: SharedMap<KeySet>;
  readonly notes: SharedMap<readonly Note[]>;
}

/** Of no entries. */
export const NO_LINKS: LinkState = {
  entries: SharedMap.empty(),
  names: SharedMap.empty(),
  readers: SharedMap.empty(),
  notes: SharedMap.empty(),
};

/** A name among the names of one sort. */
export function nameToken(sort: NameSort, name: string): string {
  return `${sort}\0${name}`;
}

/** What entries can be found by, besides their keys. */
export type NameSort =
  | "username"
  | "api key"
  | "login"
  | "token key"
  /** Of a consumer, by its id. */
  | "groups of"
  /** Of a consumer, by its id. */
  | "consumer groups of"
  | "server name"
  | "upstream name"
  /** Targets, by the id of their upstream. */
  | "targets of"
  /** A service that requests are sent to, by its id. */
  | "served service";

/** What one kind and id came to. */
export function linkedValue<K extends LinkedKind>(
  { entries }: Pick<LinkState, "entries">,
  kind: K,
  id: string,
): LinkedOf[K] | undefined {
  return entries.get(`${kind}/${id}`)?.value as LinkedOf[K] | undefined;
}

/** What all entries of one kind came to, and undefined for every other one: whoever goes through them can pause. */
export function* valuesOf<K extends LinkedKind>(
  { entries }: Pick<LinkState, "entries">,
  kind: K,
): Generator<LinkedOf[K] | undefined, void, undefined> {
  for (const [, { draft, value }] of entries.entries())
    yield draft.kind === kind ? (value as LinkedOf[K] | undefined) : undefined;
}

/** What the entry of a name that only one has came to. */
export function linkedByName<K extends LinkedKind>(
  { entries, names }: Pick<LinkState, "entries" | "names">,
  kind: K,
  sort: NameSort,
  name: string,
): LinkedOf[K] | undefined {
  for (const key of keysOf(names.get(nameToken(sort, name))))
    if (key.startsWith(`${kind}/`))
      return entries.get(key)?.value as LinkedOf[K] | undefined;
  return undefined;
}

/** What all entries of one kind with a name came to, in no order that means anything. */
export function allByName<K extends LinkedKind>(
  { entries, names }: Pick<LinkState, "entries" | "names">,
  kind: K,
  sort: NameSort,
  name: string,
): LinkedOf[K][] {
  return [...keysOf(names.get(nameToken(sort, name)))]
    .filter((key) => key.startsWith(`${kind}/`))
    .map((key) => entries.get(key)?.value as LinkedOf[K] | undefined)
    .filter((value) => value !== undefined);
}

/** The notes of one type, by key. */
export function notesOf(
  { notes }: Pick<LinkState, "notes">,
  type: Note["type"],
): readonly Degradation[] {
  const all: Degradation[] = [];
  for (const [, some] of notes.entries())
    for (const note of some)
      if (note.type === type) all.push({ key: note.key, reason: note.reason });
  return all.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}
