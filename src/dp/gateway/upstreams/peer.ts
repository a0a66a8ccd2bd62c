import type { Failure } from "../proxy/failure.ts";
import type { HashFacts } from "./balancing/hash-input.ts";

/** Where a service's requests go: the targets of an upstream, or the addresses of a host. */
export interface PeerSource {
  /** Begins with one request. */
  select(facts: HashFacts): Selection;
}

/** The attempts of one request. */
export interface Selection {
  /**
   * Where the next attempt goes: not where an earlier one went, unless there is nothing else. A promise when an address
   * has to be looked up first.
   */
  next(): Picked | Promise<Picked>;
  /** A cookie that the client is to keep, as the value of Set-Cookie: known after the first attempt was chosen. */
  readonly setCookie: string | undefined;
}

/** A peer, or why there is none. */
export type Picked =
  | { readonly ok: true; readonly peer: PickedPeer }
  | { readonly ok: false; readonly failure: Failure };

/** One address that an attempt goes to. What becomes of the attempt is told here. */
export interface PickedPeer {
  /** The name that the address stands for, as Host headers and server names have it; an address has none but itself. */
  readonly name: string;
  /** IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
  /** It began to answer, so long after the request was begun. */
  answered(status: number, latencyMs: number): void;
  /** It could not be connected to, broke off before it answered, or took too long. */
  failed(how: "connection" | "timeout"): void;
  /** Nothing of the exchange goes on. Called once, however it ended. */
  release(): void;
}

/** "host:port", IPv6 in brackets. */
export function addressText(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
