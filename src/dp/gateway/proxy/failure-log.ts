import type { Logger } from "../../../runtime/logger.ts";
import type { Failure } from "./failure.ts";

/**
 * Tells of services whose upstream fails: when that begins, more loudly at every tenfold number of failures, and when it
 * is over. Not of every request.
 */
export class FailureLog {
  readonly #logger: Logger;
  /** Failures in a row, by the service's id. */
  readonly #failing = new Map<string, number>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A request failed for good. */
  failed(
    service: { readonly id: string; readonly name: string },
    failure: Failure,
    fields: { readonly request: string; readonly target: string },
  ): void {
    const failures = (this.#failing.get(service.id) ?? 0) + 1;
    this.#failing.set(service.id, failures);
    const line = {
      service: service.name === "" ? service.id : service.name,
      failures,
      reason: failure.reason,
      detail: failure.detail,
      ...fields,
    };
    if (failures === 1) this.#logger.warn("upstream.failing", line);
    else if (Number.isInteger(Math.log10(failures)))
      this.#logger.error("upstream.failing", line);
  }

  /** A request got an answer. */
  succeeded(service: { readonly id: string; readonly name: string }): void {
    if (this.#failing.size === 0) return;
    const failures = this.#failing.get(service.id);
    if (failures === undefined) return;
    this.#failing.delete(service.id);
    this.#logger.info("upstream.recovered", {
      service: service.name === "" ? service.id : service.name,
      failures,
    });
  }

  /** Forgets all: another revision may have other services. */
  reset(): void {
    this.#failing.clear();
  }
}
