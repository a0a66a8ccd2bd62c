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

  /** What is wrong with the files already, so that it is not said twice. */
  readonly #told = new Set<string>();

  /** Adds one, with where it stands in a file in front of its reason. */
  add(code: ConfigErrorCode, violation: Violation, at?: string): void {
    if (this.#told.size > 0) {
      // What refers to something that could not be read is not to blame.
      if (code === "failed_precondition") return;
      if (this.#told.has(`${violation.field}\0${violation.reason}`)) return;
    }
    this.#codes.add(code);
    this.#violations.push(
      at === undefined
        ? violation
        : { ...violation, reason: `${at}: ${violation.reason}` },
    );
  }

  /** Adds what is wrong with the files that the transaction comes from, before anything else. */
  addOfFiles(
    problems: readonly { readonly violation: Violation; readonly at: string }[],
  ): void {
    for (const { violation, at } of problems)
      this.add("invalid_argument", violation, at);
    for (const { violation } of problems)
      this.#told.add(`${violation.field}\0${violation.reason}`);
  }

  /** All of them as one error; undefined when there are none. */
  get error(): ConfigError | undefined {
    const code = PRECEDENCE.find((one) => this.#codes.has(one));
    return code === undefined
      ? undefined
      : ConfigError.of(code, this.#violations);
  }
}
