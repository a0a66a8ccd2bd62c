import { readFile } from "node:fs/promises";
import { isAddress } from "../../../../model/hosts.ts";

/** What the system's files say about names. */
export interface SystemNames {
  /** Addresses by name, in lower case: /etc/hosts. */
  readonly hosts: ReadonlyMap<string, readonly string[]>;
  /** Domains to look short names up in: /etc/resolv.conf. */
  readonly search: readonly string[];
  /** A name with fewer dots is looked up in those domains first. */
  readonly dots: number;
}

/** Where the system keeps them. */
export interface SystemPaths {
  readonly hosts: string;
  readonly resolvConf: string;
}

export const SYSTEM_PATHS: SystemPaths = {
  hosts: "/etc/hosts",
  resolvConf: "/etc/resolv.conf",
};

/** Reads both files. One that cannot be read says nothing. */
export async function readSystemNames(
  paths: SystemPaths,
): Promise<SystemNames> {
  const [hosts, resolvConf] = await Promise.all([
    textOf(paths.hosts),
    textOf(paths.resolvConf),
  ]);
  return { hosts: parseHosts(hosts), ...parseResolvConf(resolvConf) };
}

/** Reads lines of an address and its names. */
export function parseHosts(text: string): Map<string, readonly string[]> {
  const hosts = new Map<string, readonly string[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line
      .replace(/#.*/, "")
      .trim()
      .split(/\s+/);
    if (!isAddress(address)) continue;
    for (const name of names) {
      const key = name.toLowerCase();
      const known = hosts.get(key) ?? [];
      if (!known.includes(address)) hosts.set(key, [...known, address]);
    }
  }
  return hosts;
}

/** Reads the search domains; of "search" and "domain" the last counts. */
export function parseResolvConf(text: string): {
  readonly search: readonly string[];
  readonly dots: number;
} {
  let search: readonly string[] = [];
  let dots = 1;
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "search") search = rest.filter((domain) => domain !== ".");
    else if (word === "domain") search = rest.slice(0, 1);
    else if (word === "options")
      for (const option of rest) {
        const given = /^ndots:(\d{1,2})$/.exec(option)?.[1];
        if (given !== undefined) dots = Math.min(15, Number(given));
      }
  }
  return { search, dots };
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return "";
  }
}
