import { createHash } from "node:crypto";
import { isIP } from "node:net";
import type { Exchange } from "../plugin.ts";

/** What requests are counted by. */
export interface LimitBy {
  readonly limitBy?: string | undefined;
  /** In lower case. */
  readonly headerName?: string;
  readonly path?: string;
  /** The group that the plugin is for: its consumers are counted together whatever other groups they are in. */
  readonly consumerGroup?: string | undefined;
}

/** Longer ones are hashed: who may send any header may not fill the memory with it. */
const MAX_LENGTH = 64;

/** Who or what a request is counted for. What it does not have is replaced by the client's address. */
export function subjectOf(by: LimitBy, exchange: Exchange): string {
  const subject = wantedSubject(by, exchange);
  if (subject === undefined || subject === "")
    return exchange.request.connection.remoteAddress;
  // One that looks like an address would be taken for the client that has it.
  return subject.length <= MAX_LENGTH && isIP(subject) === 0
    ? subject
    : createHash("sha256").update(subject, "utf8").digest("base64");
}

function wantedSubject(
  { limitBy, headerName = "", path, consumerGroup }: LimitBy,
  exchange: Exchange,
): string | undefined {
  switch (limitBy) {
    case "ip":
      return undefined;
    case "credential":
      return exchange.credentialId;
    case "service":
      return exchange.service?.id;
    case "header":
      return exchange.request.header(headerName)[0];
    case "consumer-group": {
      const { consumer, consumers } = exchange;
      if (consumer === undefined || consumerGroup !== undefined)
        return consumerGroup;
      return consumers.consumerGroupsOf(consumer.id)[0]?.id;
    }
    case "path":
      return exchange.request.rawPath === path ? path : undefined;
    default:
      return exchange.consumer?.id ?? exchange.credentialId;
  }
}
