/**
 * The right to change in place what was made under it. Whoever builds the next revision makes one, and forgets it when it
 * is done: from then on nobody can change what others see.
 */
export type Edit = symbol;

/** A new right, which nothing was made under yet. */
export function newEdit(): Edit {
  return Symbol("edit");
}

/** Entries of a leaf before it is split. A change copies one leaf. */
const LEAF_ENTRIES = 128;
const FAN_BITS = 4;
const FAN = 1 << FAN_BITS;
const HASH_BITS = 32;

/** A node may be changed in place under its own edit. */
type Node<V> = Leaf<V> | Branch<V>;

interface Leaf<V> {
  readonly edit: Edit;
  readonly map: Map<string, V>;
}

interface Branch<V> {
  readonly edit: Edit;
  readonly children: (Node<V> | undefined)[];
}

const NOBODY: Edit = Symbol("nobody");

/**
 * A map whose versions share what did not change between them: a tree of small maps by the hash of the key. A version
 * never changes but under the edit that made it.
 */
export class SharedMap<V> {
  #root: Node<V>;
  #size: number;
  readonly #edit: Edit;

  private constructor(root: Node<V>, size: number, edit: Edit) {
    this.#root = root;
    this.#size = size;
    this.#edit = edit;
  }

  /** A map of nothing. */
  static empty<V>(): SharedMap<V> {
    return new SharedMap<V>({ edit: NOBODY, map: new Map() }, 0, NOBODY);
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    let node = this.#root;
    if (!("map" in node)) {
      let hash = hashOf(key);
      do {
        const child: Node<V> | undefined = node.children[hash & (FAN - 1)];
        if (child === undefined) return undefined;
        node = child;
        hash >>>= FAN_BITS;
      } while (!("map" in node));
    }
    return node.map.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  *entries(): Generator<readonly [key: string, value: V], void, undefined> {
    yield* entriesOf(this.#root);
  }

  /** This map with a value put; this very one when it was made under this edit. */
  with(key: string, value: NonNullable<V>, edit: Edit): SharedMap<V> {
    const before = this.get(key);
    if (before === value) return this;
    const root = put(this.#root, key, value, hashOf(key), 0, edit);
    return this.#next(root, this.#size + (before === undefined ? 1 : 0), edit);
  }

  /** This map without a key; this very one when it was made under this edit. */
  without(key: string, edit: Edit): SharedMap<V> {
    if (!this.has(key)) return this;
    const root = remove(this.#root, key, hashOf(key), edit);
    return this.#next(root, this.#size - 1, edit);
  }

  #next(root: Node<V>, size: number, edit: Edit): SharedMap<V> {
    if (this.#edit !== edit) return new SharedMap(root, size, edit);
    this.#root = root;
    this.#size = size;
    return this;
  }
}

function* entriesOf<V>(
  node: Node<V>,
): Generator<readonly [string, V], void, undefined> {
  if ("map" in node) yield* node.map;
  else
    for (const child of node.children)
      if (child !== undefined) yield* entriesOf(child);
}

function put<V>(
  node: Node<V>,
  key: string,
  value: V,
  hash: number,
  depth: number,
  edit: Edit,
): Node<V> {
  if ("map" in node) {
    const leaf = ownLeaf(node, edit);
    leaf.map.set(key, value);
    // Below the last bits of the hash there is nothing to split by.
    return leaf.map.size > LEAF_ENTRIES && depth < HASH_BITS
      ? split(leaf, depth, edit)
      : leaf;
  }
  const branch = ownBranch(node, edit);
  const at = hash & (FAN - 1);
  const child = branch.children[at] ?? { edit, map: new Map<string, V>() };
  branch.children[at] = put(
    child,
    key,
    value,
    hash >>> FAN_BITS,
    depth + FAN_BITS,
    edit,
  );
  return branch;
}

function remove<V>(
  node: Node<V>,
  key: string,
  hash: number,
  edit: Edit,
): Node<V> {
  if ("map" in node) {
    const leaf = ownLeaf(node, edit);
    leaf.map.delete(key);
    return leaf;
  }
  const branch = ownBranch(node, edit);
  const at = hash & (FAN - 1);
  const child = branch.children[at];
  if (child !== undefined)
    branch.children[at] = remove(child, key, hash >>> FAN_BITS, edit);
  return branch;
}

function split<V>(leaf: Leaf<V>, depth: number, edit: Edit): Branch<V> {
  const children = new Array<Leaf<V> | undefined>(FAN).fill(undefined);
  for (const [key, value] of leaf.map) {
    const at = (hashOf(key) >>> depth) & (FAN - 1);
    const child = (children[at] ??= { edit, map: new Map<string, V>() });
    child.map.set(key, value);
  }
  return { edit, children };
}

function ownLeaf<V>(leaf: Leaf<V>, edit: Edit): Leaf<V> {
  return leaf.edit === edit ? leaf : { edit, map: new Map(leaf.map) };
}

function ownBranch<V>(branch: Branch<V>, edit: Edit): Branch<V> {
  return branch.edit === edit
    ? branch
    : { edit, children: [...branch.children] };
}

/** 32 bits of a text, each of which depends on all of it. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++)
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
