import type { HostPattern } from "../../../model/hosts.ts";
import { SharedMap, type Edit } from "../shared-map.ts";

/** Something by host: for exact names, for the ends and the beginnings of names that wildcards stand for, and for any. */
export interface HostIndex<T> {
  readonly any: T | undefined;
  readonly exact: SharedMap<T>;
  /** By what follows the "*": it begins with a dot. */
  readonly suffix: SharedMap<T>;
  /** By what stands before the "*": it ends with a dot. */
  readonly prefix: SharedMap<T>;
}

/** An index of nothing. */
export function noHosts<T>(): HostIndex<T> {
  return {
    any: undefined,
    exact: SharedMap.empty(),
    suffix: SharedMap.empty(),
    prefix: SharedMap.empty(),
  };
}

/** The index with what one pattern has changed; undefined stands for any host, and for nothing. */
export function withHost<T extends object>(
  index: HostIndex<T>,
  pattern: HostPattern | undefined,
  change: (before: T | undefined) => T | undefined,
  edit: Edit,
): HostIndex<T> {
  if (pattern === undefined) return { ...index, any: change(index.any) };
  const { type, name } = pattern;
  const after = change(index[type].get(name));
  return {
    ...index,
    [type]:
      after === undefined
        ? index[type].without(name, edit)
        : index[type].with(name, after, edit),
  };
}

/** Tells of everything whose pattern a host fits, the most specific first. */
export function forHost<T>(
  { any, exact, suffix, prefix }: HostIndex<T>,
  host: string,
  visit: (found: T) => void,
): void {
  if (host !== "") {
    const own = exact.get(host);
    if (own !== undefined) visit(own);
    // Wildcards stand for something, so neither the first character nor the last is where they end.
    if (suffix.size > 0)
      for (
        let dot = host.indexOf(".", 1);
        dot > 0;
        dot = host.indexOf(".", dot + 1)
      ) {
        const found = suffix.get(host.slice(dot));
        if (found !== undefined) visit(found);
      }
    if (prefix.size > 0)
      for (
        let dot = host.indexOf(".");
        dot >= 0 && dot < host.length - 1;
        dot = host.indexOf(".", dot + 1)
      ) {
        const found = prefix.get(host.slice(0, dot + 1));
        if (found !== undefined) visit(found);
      }
  }
  if (any !== undefined) visit(any);
}
