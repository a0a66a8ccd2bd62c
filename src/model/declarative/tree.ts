import type { ScalarValue } from "./scalar.ts";

/**
 * How deep lists and maps may be nested, aliases followed. Files of people reach 20. It keeps every recursion over a tree
 * within the stack.
 */
export const MAX_DEPTH = 64;

interface Placed {
  /** Where it stands in its file; of an alias, where the alias stands. */
  readonly offset: number;
  /** Levels of lists and maps in it; 0 of a scalar. */
  readonly height: number;
  /** Roughly its size in characters with all aliases written out. */
  readonly weight: number;
}

/** A text, number, boolean or null. */
export interface ScalarNode extends Placed {
  readonly type: "scalar";
  readonly value: ScalarValue;
  /** As it is written, without quotes. */
  readonly text: string;
}

/** A list. */
interface ListNode extends Placed {
  readonly type: "list";
  readonly items: readonly TreeNode[];
}

/** A map, merge keys resolved, of a repeated key the last. */
export interface MapNode extends Placed {
  readonly type: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
}

/** One key of a map. */
export interface MapEntry {
  readonly keyOffset: number;
  readonly value: TreeNode;
}

/** A piece of a declarative file with its place. Shared where aliases are: a graph without cycles. */
export type TreeNode = ScalarNode | ListNode | MapNode;

/** Null, where a file has nothing. */
export function nothing(offset: number): ScalarNode {
  return {
    type: "scalar",
    value: null,
    text: "",
    offset,
    height: 0,
    weight: 1,
  };
}

/** The height and weight of a list or map. */
export function measure(children: readonly TreeNode[]): {
  height: number;
  weight: number;
} {
  let height = 0;
  let weight = 16;
  for (const child of children) {
    height = Math.max(height, child.height);
    weight += child.weight;
  }
  return { height: height + 1, weight };
}

/** Whether it says nothing: null is absent everywhere. */
export function isNull(node: TreeNode): boolean {
  return node.type === "scalar" && node.value === null;
}

/** Whether it holds nothing: null, an empty list or an empty map. */
export function isEmpty(node: TreeNode): boolean {
  switch (node.type) {
    case "scalar":
      return node.value === null;
    case "list":
      return node.items.length === 0;
    case "map":
      return node.entries.size === 0;
    default:
      return node satisfies never;
  }
}

/** A list's items. Kong's exports cannot tell an empty list from an empty map, so the one may stand for the other. */
export function listItems(node: TreeNode): readonly TreeNode[] | undefined {
  if (node.type === "list") return node.items;
  return node.type === "map" && node.entries.size === 0 ? [] : undefined;
}

/** A map's entries; the counterpart of listItems. */
export function mapEntries(
  node: TreeNode,
): ReadonlyMap<string, MapEntry> | undefined {
  if (node.type === "map") return node.entries;
  return node.type === "list" && node.items.length === 0
    ? new Map<string, MapEntry>()
    : undefined;
}

/** The node for a message: `8080`, `"x"`, `a list`. A secret is not shown. */
export function describeNode(node: TreeNode, secret: boolean): string {
  if (node.type !== "scalar") return `a ${node.type}`;
  const { value, text } = node;
  if (value === null) return "null";
  if (secret)
    return typeof value === "string" ? "a string" : `a ${typeof value}`;
  if (typeof value === "string") return JSON.stringify(shorten(value));
  return String(value) === text ? text : `${String(value)} (written ${text})`;
}

/** At most 60 characters of a text, for messages. */
export function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}
