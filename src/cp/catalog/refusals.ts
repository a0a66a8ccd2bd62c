import {
  ConfigError,
  type ConfigErrorCode,
  type Violation,
} from "../../model/violation.ts";

/** The code of an error that has several sorts of violations: the first of these that occurs. */
const PRECEDENCE: readonly ConfigErrorCode[] = [
  "invalid_argument",
  "not_found",
  "failed_precondition",
  "already_exists",
];

/** Gathers everything that is wrong with a transaction, so that its caller hears of all at once. */
export class Refusals {
  readonly #codes = new Set<ConfigErrorCode>();
  readonly #violations: Violation[] = [];

  /** Whether there are none. */
  get none(): boolean {
    return this.#violations.length === 0;
  }

  /** Adds one, with where it stands in a file in front of its reason. */
  add(code: ConfigErrorCode, violation: Violation, at?: string): void {
    this.#codes.add(code);
    this.#violations.push(
      at === undefined
        ? violation
        : { ...violation, reason: `${at}: ${violation.reason}` },
    );
  }

  /** @throws ConfigError with all of them, when there are any. */
  throwIfAny(): void {
    const code = PRECEDENCE.find((one) => this.#codes.has(one));
    if (code !== undefined) throw ConfigError.of(code, this.#violations);
  }
}
