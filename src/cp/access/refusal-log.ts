import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { AuditTrail } from "../audit/audit-trail.ts";
import type { AuditedCall } from "../audit/record.ts";

/** Refused calls that are written down of one caller, and of all unknown ones together, in a minute. */
const PER_MINUTE = 20;
const MINUTE_MS = 60_000;

interface Window {
  startMs: number;
  written: number;
  omitted: number;
}

/**
 * Writes down calls that were refused, and of very many only some: what is kept is bounded, and whoever may do nothing
 * must not be able to push out what others have done.
 */
export class RefusalLog {
  readonly #trail: AuditTrail;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** By caller; there are no more than tokens. */
  readonly #windows = new Map<string, Window>();

  constructor(deps: {
    readonly trail: AuditTrail;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#trail = deps.trail;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
  }

  add(call: AuditedCall, result: string, reason: string): void {
    const now = this.#clock.monotonic();
    let window = this.#windows.get(call.caller);
    if (window === undefined || now - window.startMs >= MINUTE_MS) {
      window = { startMs: now, written: 0, omitted: window?.omitted ?? 0 };
      this.#windows.set(call.caller, window);
    }
    if (window.written >= PER_MINUTE) {
      window.omitted++;
      return;
    }
    window.written++;
    const { omitted } = window;
    window.omitted = 0;
    this.#logger.warn("admin.call_refused", {
      rpc: call.method,
      caller: call.caller,
      from: call.from,
      reason,
      ...(omitted === 0 ? {} : { omitted }),
    });
    void this.#trail.add({ ...call, revision: 0, result, reason, omitted });
  }
}
