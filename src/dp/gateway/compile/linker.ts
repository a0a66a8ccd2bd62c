import type { AgentPool } from "../proxy/agents.ts";
import type { Upstreams } from "../upstreams/upstreams.ts";
import type { EntryProblem } from "./draft.ts";
import type { DraftOf, LinkedKind, LinkedOf, NameSort, Note } from "./links.ts";

/** What a state is linked with. */
export interface LinkContext {
  readonly agents: AgentPool;
  readonly upstreams: Upstreams;
  /** For services that do not say whether their upstream's certificate is verified. */
  readonly tlsVerify: boolean;
  /** What is done about an enabled plugin that this data plane lacks. */
  readonly onUnsupported: "refuse" | "fail-route";
}

/**
 * How the entries of one kind are linked. Both functions depend on nothing but their arguments: an entry is linked again
 * only when its draft or something that it looked for has changed.
 */
export interface Linker<K extends LinkedKind = LinkedKind> {
  /** What others find entries by, besides the key. */
  names?(draft: DraftOf<K>): readonly Name[];
  /**
   * What others and requests get; undefined when nothing of it is served. Where that is what it was before, `at.before`
   * itself: then nobody else is linked again.
   */
  link(draft: DraftOf<K>, at: LinkSite<K>): LinkedOf[K] | undefined;
}

/** One name of an entry. */
export interface Name {
  readonly sort: NameSort;
  readonly name: string;
  /** Given: only one entry may have it. What is said of the others, all but the one with the lowest key. */
  readonly unique?: { readonly field: string; readonly reason: string };
}

/** Where an entry is linked: what it finds there, and what it has to say. */
export interface LinkSite<K extends LinkedKind = LinkedKind> {
  readonly key: string;
  /** What it was in the revision before. */
  readonly before: LinkedOf[K] | undefined;
  readonly context: LinkContext;
  readonly find: Find;
  /** The state cannot be served. */
  refuse(field: string, reason: string, kind?: EntryProblem["class"]): void;
  /** A field names something that is not there. */
  dangling(field: string, kind: string, id: string): void;
  /** The state is served all the same. */
  note(type: Note["type"], reason: string): void;
}

/** Looks for other entries, and keeps in mind for whom. */
export interface Find {
  /** Whether there is such an entry, whatever became of it. */
  exists(kind: LinkedKind, id: string): boolean;
  /** What an entry of a kind that is linked earlier came to: see `LINK_ORDER`. */
  value<Other extends LinkedKind>(
    kind: Other,
    id: string,
  ): LinkedOf[Other] | undefined;
  /** Whether any entry has a name. */
  isNamed(sort: NameSort, name: string): boolean;
  /** What all entries with a name came to, by key; those that nothing is served of are left out. */
  named<Other extends LinkedKind>(
    kind: Other,
    sort: NameSort,
    name: string,
  ): readonly LinkedOf[Other][];
}
