import type { Slices } from "../../../model/slices.ts";
import { newEdit } from "../shared-map.ts";
import { COMPILE_SLICE_ENTRIES, type DraftChange } from "./changes.ts";
import type { Draft, EntryProblem } from "./draft.ts";
import {
  countOf,
  hasKey,
  keysOf,
  withKey,
  withoutKey,
  type KeySet,
} from "./key-set.ts";
import type { Find, LinkContext, Linker, LinkSite, Name } from "./linker.ts";
import { LINK_ORDER, LINKERS } from "./linkers.ts";
import {
  nameToken,
  type LinkedEntry,
  type LinkedKind,
  type LinkedOf,
  type LinkState,
  type NameSort,
  type Note,
} from "./links.ts";

/** What an entry was and is now; undefined where nothing of it was or is served. */
export type LinkedChange = {
  readonly [K in LinkedKind]: {
    readonly kind: K;
    readonly key: string;
    readonly before: LinkedOf[K] | undefined;
    readonly after: LinkedOf[K] | undefined;
  };
}[LinkedKind];

/** What relinking came to. */
export interface Relinked {
  readonly links: LinkState;
  /** What is served otherwise than before, in no order that means anything. */
  readonly changes: readonly LinkedChange[];
  readonly problems: readonly EntryProblem[];
}

/**
 * Links the entries that changed, and those that were made from what they were. The first compilation is the same with
 * nothing before it.
 */
export function* relinkSlices(
  previous: LinkState,
  changes: readonly DraftChange[],
  context: LinkContext,
): Slices<Relinked> {
  const relinker = new Relinker(previous, context);
  let handled = 0;
  for (const step of relinker.steps(changes)) {
    step();
    if (++handled === COMPILE_SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
  yield handled;
  return relinker.relinked();
}

class Relinker {
  readonly #edit = newEdit();
  readonly #context: LinkContext;
  readonly #problems: EntryProblem[] = [];
  readonly #changes: LinkedChange[] = [];
  /** Keys that are to be linked, by kind. */
  readonly #dirty = new Map<LinkedKind, Set<string>>(
    LINK_ORDER.map((kind) => [kind, new Set()]),
  );
  /** Unique names that more than one entry has, or had for a while. */
  readonly #contested = new Map<string, Name>();
  #entries: LinkState["entries"];
  #names: LinkState["names"];
  #readers: LinkState["readers"];
  #notes: LinkState["notes"];

  constructor(previous: LinkState, context: LinkContext) {
    this.#context = context;
    this.#entries = previous.entries;
    this.#names = previous.names;
    this.#readers = previous.readers;
    this.#notes = previous.notes;
  }

  /** What is to be done, in order. */
  *steps(
    changes: readonly DraftChange[],
  ): Generator<() => void, void, undefined> {
    for (const change of changes)
      yield () => {
        this.#redraft(change);
      };
    for (const [token, name] of this.#contested)
      yield () => {
        this.#settle(token, name);
      };
    for (const kind of LINK_ORDER)
      for (const key of this.#dirty.get(kind) ?? [])
        yield () => {
          this.#link(key);
        };
  }

  relinked(): Relinked {
    return {
      links: {
        entries: this.#entries,
        names: this.#names,
        readers: this.#readers,
        notes: this.#notes,
      },
      changes: this.#changes,
      problems: this.#problems,
    };
  }

  /** Puts another draft in the place of an entry's own; what it comes to is seen later. */
  #redraft({ key, draft }: DraftChange): void {
    const before = this.#entries.get(key);
    const namesBefore = namesOf(before?.draft);
    const names = namesOf(draft);
    for (const name of namesBefore)
      if (!hasName(names, name)) this.#rename(key, name, withoutKey);
    for (const name of names)
      if (!hasName(namesBefore, name)) this.#rename(key, name, withKey);
    if ((before === undefined) !== (draft === undefined))
      this.#changed(presenceToken(key));
    if (draft !== undefined) {
      const { value, reads } = before ?? NEW_ENTRY;
      this.#entries = this.#entries.with(
        key,
        { draft, value, reads },
        this.#edit,
      );
      this.#dirty.get(draft.kind)?.add(key);
    } else if (before !== undefined) this.#forget(key, before);
  }

  #forget(key: string, entry: LinkedEntry): void {
    this.#entries = this.#entries.without(key, this.#edit);
    this.#notes = this.#notes.without(key, this.#edit);
    this.#setReads(key, entry.reads, []);
    this.#setValue(key, entry, undefined);
  }

  #rename(
    key: string,
    name: Name,
    change: (
      set: KeySet | undefined,
      key: string,
      edit: symbol,
    ) => KeySet | undefined,
  ): void {
    const token = nameToken(name.sort, name.name);
    const holders = change(this.#names.get(token), key, this.#edit);
    this.#names =
      holders === undefined
        ? this.#names.without(token, this.#edit)
        : this.#names.with(token, holders, this.#edit);
    if (name.unique !== undefined && countOf(holders) > 1)
      this.#contested.set(token, name);
    this.#changed(token);
  }

  /** Of those that have one name, which only one may have, the one with the lowest key keeps it. */
  #settle(token: string, { unique }: Name): void {
    const [, ...others] = [...keysOf(this.#names.get(token))].sort();
    for (const key of others)
      if (unique !== undefined)
        this.#problems.push({ key, ...unique, class: "INVALID" });
  }

  #link(key: string): void {
    const entry = this.#entries.get(key);
    // It may have gone with the change that would have it linked again.
    if (entry === undefined) return;
    const { draft } = entry;
    const reads: string[] = [];
    const notes: Note[] = [];
    const value = linkerOf(draft).link(
      draft,
      this.#site(key, entry, reads, notes),
    );
    this.#setReads(key, entry.reads, reads);
    if (notes.length > 0)
      this.#notes = this.#notes.with(key, notes, this.#edit);
    else this.#notes = this.#notes.without(key, this.#edit);
    this.#entries = this.#entries.with(
      key,
      { draft, value, reads },
      this.#edit,
    );
    this.#setValue(key, entry, value);
  }

  #site(
    key: string,
    { value }: LinkedEntry,
    reads: string[],
    notes: Note[],
  ): LinkSite {
    const refuse: LinkSite["refuse"] = (field, reason, kind = "INVALID") => {
      this.#problems.push({ key, field, reason, class: kind });
    };
    return {
      key,
      before: value,
      context: this.#context,
      find: this.#finder(reads),
      refuse,
      dangling: (field, kind, id) => {
        refuse(field, `names ${kind} "${id}", which does not exist`);
      },
      note: (type, reason) => {
        notes.push({ type, key, reason });
      },
    };
  }

  #finder(reads: string[]): Find {
    const seen = (token: string): string => {
      if (!reads.includes(token)) reads.push(token);
      return token;
    };
    const valueOf = (key: string): LinkedEntry["value"] =>
      this.#entries.get(seen(key))?.value;
    const named = (sort: NameSort, name: string): KeySet | undefined =>
      this.#names.get(seen(nameToken(sort, name)));
    return {
      exists: (kind, id) => {
        const key = `${kind}/${id}`;
        seen(presenceToken(key));
        return this.#entries.has(key);
      },
      value: <K extends LinkedKind>(kind: K, id: string) =>
        valueOf(`${kind}/${id}`) as LinkedOf[K] | undefined,
      isNamed: (sort, name) => named(sort, name) !== undefined,
      named: <K extends LinkedKind>(kind: K, sort: NameSort, name: string) =>
        [...keysOf(named(sort, name))]
          .filter((key) => key.startsWith(`${kind}/`))
          .sort()
          .map((key) => valueOf(key) as LinkedOf[K] | undefined)
          .filter((value) => value !== undefined),
    };
  }

  #setReads(
    key: string,
    before: readonly string[],
    after: readonly string[],
  ): void {
    for (const token of before)
      if (!after.includes(token)) {
        const readers = withoutKey(this.#readers.get(token), key, this.#edit);
        this.#readers =
          readers === undefined
            ? this.#readers.without(token, this.#edit)
            : this.#readers.with(token, readers, this.#edit);
      }
    for (const token of after)
      if (!hasKey(this.#readers.get(token), key))
        this.#readers = this.#readers.with(
          token,
          withKey(this.#readers.get(token), key, this.#edit),
          this.#edit,
        );
  }

  #setValue(
    key: string,
    { draft, value: before }: LinkedEntry,
    after: LinkedEntry["value"],
  ): void {
    if (before === after) return;
    // What an entry came to is of its draft's kind.
    this.#changes.push({
      kind: draft.kind,
      key,
      before,
      after,
    } as LinkedChange);
    this.#changed(key);
  }

  /** Has everything linked again that was made from this. */
  #changed(token: string): void {
    for (const key of keysOf(this.#readers.get(token))) {
      const kind = this.#entries.get(key)?.draft.kind;
      if (kind !== undefined) this.#dirty.get(kind)?.add(key);
    }
  }
}

const NEW_ENTRY = { value: undefined, reads: [] } as const;

/** What those read who only ask whether an entry is there. */
function presenceToken(key: string): string {
  return `?${key}`;
}

function namesOf(draft: Draft | undefined): readonly Name[] {
  if (draft === undefined) return [];
  return linkerOf(draft).names?.(draft) ?? [];
}

/** The linker of a draft's own kind. */
function linkerOf({ kind }: Draft): Linker {
  return LINKERS[kind] as Linker;
}

function hasName(names: readonly Name[], { sort, name }: Name): boolean {
  return names.some((other) => other.sort === sort && other.name === name);
}
