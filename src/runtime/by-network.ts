import { isIPv6 } from "node:net";

/** Things that belong to remote addresses, so that who has many addresses or none but one gets no more than others. */
export class ByNetwork<T extends { readonly network: string }> {
  /** In the order in which networks have their turn; of each the oldest thing first. */
  readonly #groups = new Map<string, Set<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(thing: T): void {
    const group = this.#groups.get(thing.network);
    if (group?.has(thing) === true) return;
    if (group === undefined) this.#groups.set(thing.network, new Set([thing]));
    else group.add(thing);
    this.#size++;
  }

  delete(thing: T): void {
    const group = this.#groups.get(thing.network);
    if (group?.delete(thing) !== true) return;
    this.#size--;
    if (group.size === 0) this.#groups.delete(thing.network);
  }

  /** Takes out the oldest thing of the network whose turn it is; the next time it is another's turn. */
  take(): T | undefined {
    for (const [network, group] of this.#groups)
      for (const thing of group) {
        this.delete(thing);
        // Behind the others.
        if (this.#groups.delete(network)) this.#groups.set(network, group);
        return thing;
      }
    return undefined;
  }

  /** The things of the network that has the most, the oldest first. */
  crowd(): ReadonlySet<T> {
    let most: ReadonlySet<T> = new Set();
    for (const group of this.#groups.values())
      if (group.size > most.size) most = group;
    return most;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const group of this.#groups.values()) yield* group;
  }
}

/** Groups of an IPv6 address that are somebody's network; of the rest he may take as many as he likes. */
const NETWORK_GROUPS = 4;

/** What counts as one remote address: an IPv4 address, or the network that an IPv6 address is in. */
export function networkOf(address: string): string {
  const v4 = /^::ffff:(?<v4>[\d.]+)$/i.exec(address)?.groups?.["v4"];
  if (v4 !== undefined || !isIPv6(address)) return v4 ?? address;
  const [head = "", tail] = address.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Math.max(0, 8 - before.length - after.length);
  return [...before, ...Array<string>(zeros).fill("0"), ...after]
    .slice(0, NETWORK_GROUPS)
    .join(":");
}
