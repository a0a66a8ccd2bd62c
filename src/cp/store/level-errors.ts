import { ConfigError, type ConfigErrorCode } from "../../model/violation.ts";

/** What was being done when the database failed. */
export type StoreAction = "open" | "read" | "commit";

/**
 * Says what a failure of LevelDB means for its user. LevelDB hands the system's error over as text, and the binding
 * wraps it in errors with codes of its own, so both are looked through.
 */
export function storeError(
  error: unknown,
  action: StoreAction,
  directory: string,
): ConfigError {
  if (error instanceof ConfigError) return error;
  const { codes, text } = unwind(error);
  const fail = (code: ConfigErrorCode, message: string): ConfigError =>
    new ConfigError(code, message, { cause: error });

  if (codes.includes("LEVEL_LOCKED"))
    return fail(
      "failed_precondition",
      `the store in ${directory} is in use by another process: stop that one, or give this one another --data-dir`,
    );
  if (
    codes.some((code) => code === "ENOSPC" || code === "EDQUOT") ||
    /no space left|quota exceeded/i.test(text)
  )
    return fail(
      "resource_exhausted",
      `the disk of the store in ${directory} is full: free some space and try again; ${outcome(action)}`,
    );
  if (
    codes.some((code) => ["EROFS", "EACCES", "EPERM"].includes(code)) ||
    /read-only file system|permission denied|not permitted/i.test(text)
  )
    return fail(
      action === "open" ? "failed_precondition" : "unavailable",
      `the store in ${directory} cannot be written (${text}): make it writable for the user that runs this process; ${outcome(action)}`,
    );
  if (
    codes.includes("LEVEL_CORRUPTION") ||
    /corrupt|does not exist \(create_if_missing/i.test(text)
  )
    return damaged(directory, text, error);
  return fail(
    "unavailable",
    `the store in ${directory} failed (${text}): look at the disk and the system's log; ${outcome(action)}`,
  );
}

/** Whether a store could not be opened because another process has it. */
export function isInUse(error: unknown): boolean {
  return unwind(error).codes.includes("LEVEL_LOCKED");
}

/** The store's content contradicts itself: nothing that this process could do by itself would be right. */
export function damaged(
  directory: string,
  what: string,
  cause?: unknown,
): ConfigError {
  return new ConfigError(
    "failed_precondition",
    `the store in ${directory} is damaged: ${what}. Nothing was changed. Put a backup of that directory in its place; or move it away, start empty and apply the declarative files again. Data planes go on serving what they have meanwhile`,
    cause === undefined ? {} : { cause },
  );
}

/** A newer build has written this. */
export function tooNew(
  directory: string,
  found: string,
  readable: number,
): ConfigError {
  return new ConfigError(
    "failed_precondition",
    `the store in ${directory} has format ${found}, and this build reads format ${readable}: use the build that wrote it, or a newer one`,
  );
}

function outcome(action: StoreAction): string {
  return action === "commit"
    ? "whether the change was stored is not certain: read the revision before trying again, or try again with the same idempotency key"
    : "nothing was changed";
}

/** The codes and the innermost message of an error and its causes. */
function unwind(error: unknown): {
  readonly codes: readonly string[];
  readonly text: string;
} {
  const codes: string[] = [];
  let text = String(error);
  for (
    let at: unknown = error;
    at instanceof Error && codes.length < 10;
    at = at.cause
  ) {
    text = at.message;
    codes.push("code" in at && typeof at.code === "string" ? at.code : at.name);
  }
  return { codes, text };
}
