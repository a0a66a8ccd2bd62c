/** One thing that is wrong with a resource. */
export interface Violation {
  /** The resource's kind; empty when it is not about one resource. */
  readonly kind: string;
  /** The resource's name, else its id; empty when it has neither. */
  readonly name: string;
  /** The field's path in the resource, as in the .proto file: `paths[0]`. Empty when it is not about one field. */
  readonly field: string;
  /** What is wrong and what to do, without the parts above. */
  readonly reason: string;
}

/** One line for people: `route "pay": paths[0]: must start with "/"`. */
export function describeViolation(violation: Violation): string {
  const who =
    violation.kind === ""
      ? []
      : [
          violation.name === ""
            ? violation.kind
            : `${violation.kind} "${violation.name}"`,
        ];
  return [
    ...who,
    ...(violation.field === "" ? [] : [violation.field]),
    violation.reason,
  ].join(": ");
}

/** Why a change or a question was refused. The names are those of the gRPC codes. */
export type ConfigErrorCode =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unavailable"
  | "resource_exhausted";

/** An operation on the configuration was refused or failed; nothing has changed. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code: ConfigErrorCode;
  /** Everything that is wrong. May be empty when the message says it all. */
  readonly violations: readonly Violation[];

  constructor(
    code: ConfigErrorCode,
    message: string,
    options: {
      readonly violations?: readonly Violation[];
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.violations = options.violations ?? [];
  }

  /** An error whose message names the first three of its violations. */
  static of(
    code: ConfigErrorCode,
    violations: readonly Violation[],
  ): ConfigError {
    const shown = violations.slice(0, 3).map(describeViolation);
    const more =
      violations.length > 3 ? [`and ${violations.length - 3} more`] : [];
    return new ConfigError(code, [...shown, ...more].join("; "), {
      violations,
    });
  }
}
