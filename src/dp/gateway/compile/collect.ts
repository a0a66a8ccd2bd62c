import type { Slices } from "../../../model/slices.ts";
import { COMPILE_SLICE_ENTRIES, type BucketDrafts } from "./decode.ts";
import type { Draft } from "./draft.ts";

/** The drafts of one kind, each with the key of its entry. */
type DraftList<Kind extends Draft["kind"]> = readonly {
  readonly key: string;
  readonly draft: Extract<Draft, { readonly kind: Kind }>;
}[];

/** All drafts, by kind, in no order that means anything. */
export type DraftsByKind = {
  readonly [Kind in Draft["kind"]]: DraftList<Kind>;
};

type Lists = {
  -readonly [Kind in Draft["kind"]]: {
    readonly key: string;
    readonly draft: Extract<Draft, { readonly kind: Kind }>;
  }[];
};

/** Sorts drafts by kind. */
export function* collectSlices(
  drafts: ReadonlyMap<number, BucketDrafts>,
): Slices<DraftsByKind> {
  const lists: Lists = {
    route: [],
    service: [],
    upstream: [],
    target: [],
    consumer: [],
    key: [],
    login: [],
    tokenKey: [],
    group: [],
    certificate: [],
    authority: [],
    plugin: [],
    other: [],
  };
  let handled = 0;
  for (const { byKey } of drafts.values())
    for (const [key, draft] of byKey) {
      add(lists, key, draft);
      if (++handled >= COMPILE_SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
  return lists;
}

function add(lists: Lists, key: string, draft: Draft): void {
  // One case a kind, so that each list gets what it is for.
  switch (draft.kind) {
    case "route":
      lists.route.push({ key, draft });
      return;
    case "service":
      lists.service.push({ key, draft });
      return;
    case "upstream":
      lists.upstream.push({ key, draft });
      return;
    case "target":
      lists.target.push({ key, draft });
      return;
    case "consumer":
      lists.consumer.push({ key, draft });
      return;
    case "key":
      lists.key.push({ key, draft });
      return;
    case "login":
      lists.login.push({ key, draft });
      return;
    case "tokenKey":
      lists.tokenKey.push({ key, draft });
      return;
    case "group":
      lists.group.push({ key, draft });
      return;
    case "certificate":
      lists.certificate.push({ key, draft });
      return;
    case "authority":
      lists.authority.push({ key, draft });
      return;
    case "plugin":
      lists.plugin.push({ key, draft });
      return;
    case "other":
      lists.other.push({ key, draft });
      return;
    default:
      draft satisfies never;
  }
}
