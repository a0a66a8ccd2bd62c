import type { Failure } from "../proxy/failure.ts";

/** Why the client got what it got. One of few, for metrics and logs. Empty: the upstream answered. */
export type Reason =
  | ""
  /** What came could not be read as a request. */
  | "unreadable"
  | "bad-request"
  | "uri-too-long"
  | "expectation"
  | "method-not-allowed"
  | "no-configuration"
  | "no-route"
  | "protocol"
  | "no-service"
  | "plugin"
  | Failure["reason"]
  /** The client left before it had the whole answer. */
  | "client-gone"
  /** The upstream left before it had sent the whole answer. */
  | "broken-off";
