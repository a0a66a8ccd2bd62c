/** One thing that is wrong with a message: where, and what. */
export interface Problem {
  /** Proto names from the message down: "paths[0]", "healthchecks.active.timeout". Empty: the whole message. */
  readonly field: string;
  /** What is wrong and what is allowed. */
  readonly reason: string;
}

/** A value as messages show it: in JSON, cut when it is long. */
export function show(value: unknown): string {
  const text =
    typeof value === "bigint" || typeof value === "number"
      ? String(value)
      : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

/** Joins a path and a field below it. */
export function join(path: string, field: string): string {
  if (path === "" || field === "") return path + field;
  return field.startsWith("[") ? path + field : `${path}.${field}`;
}
