import type { Answer, DecodedPacket } from "dns-packet";
import { sameName, type RecordType } from "./ask-server.ts";

/** An address, or where a service is, and for how long that holds. */
export interface DnsRecord {
  readonly ttlSeconds: number;
  /** Of an A or AAAA record; of an SRV record whose address came along. */
  readonly address?: string;
  readonly service?: {
    readonly name: string;
    readonly port: number;
    readonly weight: number;
    readonly priority: number;
  };
}

/** What a name server says. */
export type Said =
  | { readonly type: "records"; readonly records: readonly DnsRecord[] }
  /** There is no such name, or none with such a record. */
  | { readonly type: "missing"; readonly detail: string }
  | { readonly type: "failed"; readonly detail: string };

const NO_ERROR = 0;
const NO_SUCH_NAME = 3;
const RESPONSE_CODE_BITS = 0xf;
/** Names that point to names, one after the other, at most. */
const MAX_CHAIN = 16;

/** Reads an answer: the records of the name itself, or of the one that its aliases lead to. */
export function readAnswer(
  packet: DecodedPacket,
  name: string,
  type: RecordType,
): Said {
  const code = (packet.flags ?? 0) & RESPONSE_CODE_BITS;
  if (code === NO_SUCH_NAME)
    return { type: "missing", detail: `there is no name ${name}` };
  if (code !== NO_ERROR)
    return {
      type: "failed",
      detail: `the name server answered ${CODES[code] ?? `code ${code}`} for ${name}`,
    };
  const answers = packet.answers ?? [];
  const { owner, ttlSeconds } = followAliases(answers, name);
  const records = answers.flatMap((answer) =>
    "name" in answer && sameName(answer.name, owner)
      ? recordOf(answer, type, ttlSeconds, packet.additionals ?? [])
      : [],
  );
  return records.length === 0
    ? { type: "missing", detail: `${name} has no ${type} record` }
    : { type: "records", records };
}

const CODES: Readonly<Record<number, string>> = {
  1: "FORMERR",
  2: "SERVFAIL",
  4: "NOTIMP",
  5: "REFUSED",
};

/** The name at the end of the aliases, and how long the shortest of them holds. */
function followAliases(
  answers: readonly Answer[],
  name: string,
): { readonly owner: string; readonly ttlSeconds: number } {
  let owner = name;
  let ttlSeconds = Infinity;
  for (let i = 0; i < MAX_CHAIN; i++) {
    const at = owner;
    const alias = answers.find(
      (answer) => answer.type === "CNAME" && sameName(answer.name, at),
    );
    if (alias?.type !== "CNAME") break;
    owner = alias.data;
    ttlSeconds = Math.min(ttlSeconds, alias.ttl ?? 0);
  }
  return { owner, ttlSeconds };
}

function recordOf(
  answer: Answer,
  type: RecordType,
  aliasSeconds: number,
  additionals: readonly Answer[],
): DnsRecord[] {
  if (answer.type === "A" || answer.type === "AAAA")
    return answer.type !== type
      ? []
      : [
          {
            address: answer.data,
            ttlSeconds: Math.min(aliasSeconds, answer.ttl ?? 0),
          },
        ];
  if (answer.type !== "SRV" || type !== "SRV") return [];
  const { target, port, weight = 0, priority = 0 } = answer.data;
  // "." says that there is no such service.
  if (target === "." || target === "") return [];
  const along = addressAlong(additionals, target);
  const ttl = Math.min(aliasSeconds, answer.ttl ?? 0);
  return [
    {
      ttlSeconds: Math.min(ttl, along?.ttlSeconds ?? Infinity),
      ...(along === undefined ? {} : { address: along.address }),
      // One of weight 0 is to be used little, not never.
      service: { name: target, port, weight: Math.max(1, weight), priority },
    },
  ];
}

/** The one address of a name that came with the answer. Of several the name has to be asked for. */
function addressAlong(
  additionals: readonly Answer[],
  name: string,
): { readonly address: string; readonly ttlSeconds: number } | undefined {
  const found = additionals.flatMap((answer) =>
    (answer.type === "A" || answer.type === "AAAA") &&
    sameName(answer.name, name)
      ? [{ address: answer.data, ttlSeconds: answer.ttl ?? 0 }]
      : [],
  );
  return found.length === 1 ? found[0] : undefined;
}
