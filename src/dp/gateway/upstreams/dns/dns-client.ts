import { randomInt } from "node:crypto";
import { getServers } from "node:dns";
import type { Clock } from "../../../../runtime/clock.ts";
import { parseHostPort, type HostPort } from "../../../../runtime/host-port.ts";
import { askServer, type RecordType } from "./ask-server.ts";
import { readAnswer, type DnsRecord, type Said } from "./records.ts";
import {
  readSystemNames,
  type SystemNames,
  type SystemPaths,
} from "./system-files.ts";

/** What asking for a name came to. */
export type Resolved =
  | {
      readonly type: "records";
      readonly records: readonly (DnsRecord & { readonly address: string })[];
      /** What kind they are of; undefined when no name server was asked. */
      readonly of: RecordType | undefined;
    }
  | Exclude<Said, { readonly type: "records" }>;

export interface DnsClientOptions {
  readonly clock: Clock;
  /** Asked in this order; none: those of the system. */
  readonly servers: readonly HostPort[];
  readonly files: SystemPaths;
}

/** How long one server has for an answer. */
const TIMEOUT_MS = 2_000;
/** How often all servers are asked. */
const ROUNDS = 2;
/** Questions under way at a time. */
const MAX_QUESTIONS = 128;
/** The system's files are read this often at most; what /etc/hosts says holds for so long. */
const FILES_MS = 10_000;
const DNS_PORT = 53;

/** Asks the name servers, once for each call. */
export class DnsClient {
  readonly #options: DnsClientOptions;
  #files:
    | { readonly names: Promise<SystemNames>; readonly readMs: number }
    | undefined;
  #asking = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: DnsClientOptions) {
    this.#options = options;
  }

  /**
   * The addresses of a name.
   *
   * @param last The kind of records that it had when it was last asked for: asked for first.
   */
  async resolve(name: string, last?: RecordType): Promise<Resolved> {
    const names = await this.#systemNames();
    const listed = names.hosts.get(name.toLowerCase().replace(/\.$/, ""));
    const own = listed ?? (isLocal(name) ? ["127.0.0.1"] : undefined);
    if (own !== undefined)
      return {
        type: "records",
        of: undefined,
        records: oneFamily(own).map((address) => ({
          address,
          ttlSeconds: FILES_MS / 1000,
        })),
      };
    let outcome: Resolved = {
      type: "missing",
      detail: `there is no name ${name}`,
    };
    for (const candidate of candidates(name, names)) {
      outcome = await this.#resolveExactly(candidate, last);
      if (outcome.type !== "missing") return outcome;
    }
    return outcome;
  }

  async #resolveExactly(
    name: string,
    last: RecordType | undefined,
  ): Promise<Resolved> {
    if (last !== undefined) {
      const said = await this.#ask(name, last);
      if (said.type !== "missing") return this.#complete(said, last);
    }
    // A name has one kind of records, rarely two; that takes as long as the slowest answer and not as all of them.
    const types = ["SRV", "A", "AAAA"] as const;
    const said = await Promise.all(types.map((type) => this.#ask(name, type)));
    for (const [i, type] of types.entries()) {
      const one = said[i];
      if (one?.type === "records") return this.#complete(one, type);
    }
    return (
      said.find((one) => one.type === "failed") ?? {
        type: "missing",
        detail: `there is no address of ${name}`,
      }
    );
  }

  /** Finds the addresses of what SRV records name. */
  async #complete(said: Said, of: RecordType): Promise<Resolved> {
    if (said.type !== "records") return said;
    const { records } = said;
    const first = Math.min(
      ...records.map(({ service }) => service?.priority ?? 0),
    );
    const used = records.filter(
      ({ service }) => (service?.priority ?? 0) === first,
    );
    const complete = await Promise.all(used.map((one) => this.#addresses(one)));
    const found = complete.flatMap((one) => ("type" in one ? [] : one));
    if (found.length > 0) return { type: "records", records: found, of };
    return (
      complete.find((one) => "type" in one) ?? {
        type: "missing",
        detail: "there is no address",
      }
    );
  }

  async #addresses(
    record: DnsRecord,
  ): Promise<
    | readonly (DnsRecord & { readonly address: string })[]
    | Exclude<Said, { readonly type: "records" }>
  > {
    const { address, service, ttlSeconds } = record;
    if (address !== undefined) return [{ ...record, address }];
    if (service === undefined) return [];
    const v4 = await this.#ask(service.name, "A");
    const said =
      v4.type === "missing" ? await this.#ask(service.name, "AAAA") : v4;
    if (said.type !== "records") return said;
    return said.records.flatMap((found) =>
      found.address === undefined
        ? []
        : [
            {
              address: found.address,
              ttlSeconds: Math.min(ttlSeconds, found.ttlSeconds),
              service,
            },
          ],
    );
  }

  /** Asks one server after the other, until one knows. */
  async #ask(name: string, type: RecordType): Promise<Said> {
    await this.#turn();
    try {
      return await this.#askServers(name, type);
    } finally {
      this.#asking--;
      this.#waiting.shift()?.();
    }
  }

  async #askServers(name: string, type: RecordType): Promise<Said> {
    const { clock } = this.#options;
    const servers = this.#servers();
    let outcome: Said = { type: "failed", detail: "there is no name server" };
    for (let round = 0; round < ROUNDS; round++)
      for (const server of servers)
        try {
          const packet = await askServer({
            name,
            type,
            server,
            id: randomInt(0x1_0000),
            timeoutMs: TIMEOUT_MS,
            clock,
          });
          outcome = readAnswer(packet, name, type);
          if (outcome.type !== "failed") return outcome;
        } catch (error) {
          const detail = error instanceof Error ? error.message : String(error);
          outcome = { type: "failed", detail };
        }
    return outcome;
  }

  #servers(): readonly HostPort[] {
    const { servers } = this.#options;
    if (servers.length > 0) return servers;
    return getServers().map((text) => {
      const parsed = parseHostPort(text);
      return parsed.ok ? parsed.hostPort : { host: text, port: DNS_PORT };
    });
  }

  async #turn(): Promise<void> {
    while (this.#asking >= MAX_QUESTIONS)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#asking++;
  }

  #systemNames(): Promise<SystemNames> {
    const nowMs = this.#options.clock.monotonic();
    if (this.#files === undefined || nowMs - this.#files.readMs >= FILES_MS)
      this.#files = {
        names: readSystemNames(this.#options.files),
        readMs: nowMs,
      };
    return this.#files.names;
  }
}

/** The names that a name may stand for, in the order in which they are tried. */
function candidates(
  name: string,
  { search, dots }: SystemNames,
): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const longer = search.map((domain) => `${name}.${domain}`);
  return name.split(".").length > dots ? [name, ...longer] : [...longer, name];
}

/** Names of this machine are never asked for. */
function isLocal(name: string): boolean {
  return /^(.+\.)?localhost\.?$/i.test(name);
}

/** IPv4 where there is any, as with records. */
function oneFamily(addresses: readonly string[]): readonly string[] {
  const v4 = addresses.filter((address) => !address.includes(":"));
  return v4.length > 0 ? v4 : addresses;
}
