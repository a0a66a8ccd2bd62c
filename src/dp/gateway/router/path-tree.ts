import type { Edit } from "../shared-map.ts";
import { withoutRanked, withRanked, type RankList } from "./rank-list.ts";

/**
 * Items by text, so that for a path all texts are found that it begins with: a radix tree. A node is changed in place
 * under the edit that made it, and copied under any other, with those above it.
 */
export interface PathNode<T> {
  readonly edit: Edit;
  /** What stands between the node above and this one. */
  text: string;
  /** The items of the text that ends here; undefined when none does. */
  items: RankList<T> | undefined;
  /** The first characters of the children's texts, in their order. */
  firsts: string;
  children: PathNode<T>[];
}

type Compare<T> = (a: T, b: T) => number;

/** A tree with an item more. */
export function withText<T>(
  root: PathNode<T> | undefined,
  text: string,
  item: T,
  compare: Compare<T>,
  edit: Edit,
): PathNode<T> {
  if (root === undefined) return leaf(edit, text, item);
  const top: PathNode<T> = own(root, edit);
  const common = commonLength(top.text, text, 0);
  const start = common < top.text.length ? splitAt(top, common, edit) : top;
  let node = start;
  let at = common;
  while (at < text.length) {
    const i = node.firsts.indexOf(text.charAt(at));
    const child = node.children[i];
    if (child === undefined) {
      adopt(node, leaf(edit, text.slice(at), item));
      return start;
    }
    const length = commonLength(child.text, text, at);
    const owned = own(child, edit);
    const next =
      length < owned.text.length ? splitAt(owned, length, edit) : owned;
    node.children[i] = next;
    node = next;
    at += length;
  }
  node.items = withRanked(node.items ?? [], item, compare);
  return start;
}

/** A tree with an item less; undefined when that was the last. */
export function withoutText<T>(
  root: PathNode<T> | undefined,
  text: string,
  item: T,
  compare: Compare<T>,
  edit: Edit,
): PathNode<T> | undefined {
  if (root === undefined || !holds(root, text)) return root;
  const top = own(root, edit);
  const above: PathNode<T>[] = [];
  let node = top;
  let at = node.text.length;
  while (at < text.length) {
    const i = node.firsts.indexOf(text.charAt(at));
    const child = node.children[i];
    if (child === undefined) return top;
    above.push(node);
    const owned = own(child, edit);
    node.children[i] = owned;
    node = owned;
    at += owned.text.length;
  }
  const items = withoutRanked(node.items ?? [], item, compare);
  node.items = items.length === 0 ? undefined : items;
  const parent = above.at(-1);
  if (node.items === undefined && node.children.length === 0) {
    if (parent === undefined) return undefined;
    disown(parent, node);
    shorten(parent);
  } else shorten(node);
  return top;
}

/** The items of one text that a path begins with. */
export interface FoundText<T> {
  readonly items: RankList<T>;
  /** Of the text. */
  readonly length: number;
}

/** The items of each text that a path begins with, from the shortest text on. */
export function findTexts<T>(root: PathNode<T>, path: string): FoundText<T>[] {
  const found: FoundText<T>[] = [];
  let node = root;
  let at = 0;
  while (path.startsWith(node.text, at)) {
    at += node.text.length;
    if (node.items !== undefined) found.push({ items: node.items, length: at });
    if (at >= path.length || node.firsts === "") return found;
    const child = node.children[node.firsts.indexOf(path.charAt(at))];
    if (child === undefined) return found;
    node = child;
  }
  return found;
}

/** Whether a tree has a node for exactly this text. */
function holds(root: PathNode<unknown>, text: string): boolean {
  let node = root;
  let at = 0;
  while (text.startsWith(node.text, at)) {
    at += node.text.length;
    if (at === text.length) return true;
    const child = node.children[node.firsts.indexOf(text.charAt(at))];
    if (child === undefined) return false;
    node = child;
  }
  return false;
}

function leaf<T>(edit: Edit, text: string, item: T): PathNode<T> {
  return { edit, text, items: [[item]], firsts: "", children: [] };
}

function own<T>(node: PathNode<T>, edit: Edit): PathNode<T> {
  return node.edit === edit
    ? node
    : { ...node, edit, children: [...node.children] };
}

/** A node for the beginning of another's text, above that one. */
function splitAt<T>(
  node: PathNode<T>,
  length: number,
  edit: Edit,
): PathNode<T> {
  const upper: PathNode<T> = {
    edit,
    text: node.text.slice(0, length),
    items: undefined,
    firsts: node.text.charAt(length),
    children: [node],
  };
  node.text = node.text.slice(length);
  return upper;
}

function adopt<T>(parent: PathNode<T>, child: PathNode<T>): void {
  parent.firsts += child.text.charAt(0);
  parent.children.push(child);
}

function disown<T>(parent: PathNode<T>, child: PathNode<T>): void {
  const i = parent.children.indexOf(child);
  parent.children.splice(i, 1);
  parent.firsts = parent.firsts.slice(0, i) + parent.firsts.slice(i + 1);
}

/** Takes a node that has nothing but one child for one with it. */
function shorten<T>(node: PathNode<T>): void {
  const [only] = node.children;
  if (
    node.items !== undefined ||
    node.children.length !== 1 ||
    only === undefined
  )
    return;
  node.text += only.text;
  node.items = only.items;
  node.firsts = only.firsts;
  node.children = [...only.children];
}

function commonLength(text: string, other: string, from: number): number {
  const most = Math.min(text.length, other.length - from);
  let i = 0;
  while (i < most && text.charCodeAt(i) === other.charCodeAt(from + i)) i++;
  return i;
}
