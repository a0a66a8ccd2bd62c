import { Counter, type Registry } from "prom-client";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";

/** Why a handshake failed, in a word for metrics. */
export type HandshakeFailure =
  | "closed"
  | "timeout"
  | "hurried"
  | "not_tls"
  | "protocol"
  | "no_certificate"
  | "not_pinned"
  | "expired"
  | "not_yet_valid"
  | "unknown_ca"
  | "revoked"
  | "revocation_unknown"
  | "wrong_purpose"
  | "wrong_server_name"
  | "name_not_allowed"
  | "several_nodes"
  | "no_node_name"
  | "chain_unknown"
  | "other";

/** A peer may not come in, or a control plane is not to be trusted. */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
  readonly failure: HandshakeFailure;

  constructor(failure: HandshakeFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** Lines in a window; what is more is counted and said with the next one. */
const LINES = 10;
const WINDOW_MS = 10_000;

/** Counts handshakes, and logs those that fail: not more of them than somebody can read. */
export class HandshakeReport {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #handshakes: Counter<"resumed">;
  readonly #failures: Counter<"reason">;
  #windowMs = -Infinity;
  #lines = 0;
  #unsaid = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly metrics: Registry;
  }) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    const registers = [options.metrics];
    this.#handshakes = new Counter({
      name: "holdfast_cluster_handshakes_total",
      help: "TLS handshakes between control plane and data planes that succeeded, by whether they resumed an earlier session.",
      labelNames: ["resumed"],
      registers,
    });
    this.#failures = new Counter({
      name: "holdfast_cluster_handshake_failures_total",
      help: "TLS handshakes between control plane and data planes that failed or ended with the peer being refused, by reason.",
      labelNames: ["reason"],
      registers,
    });
  }

  succeeded(resumed: boolean): void {
    this.#handshakes.inc({ resumed: String(resumed) });
  }

  failed(peer: string, { failure, message }: HandshakeError): void {
    this.#failures.inc({ reason: failure });
    // Whatever watches the port connects and hangs up, all the time.
    if (failure === "closed") {
      this.#logger.debug("tls.handshake_failed", { peer, reason: message });
      return;
    }
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#windowMs >= WINDOW_MS) {
      this.#windowMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= LINES) {
      this.#unsaid++;
      return;
    }
    this.#lines++;
    this.#logger.warn("tls.handshake_failed", {
      peer,
      reason: message,
      ...(this.#unsaid === 0 ? {} : { not_logged_before: this.#unsaid }),
    });
    this.#unsaid = 0;
  }
}
