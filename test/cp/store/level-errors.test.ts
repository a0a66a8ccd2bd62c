import { describe, expect, test } from "vitest";
import {
  storeError,
  type StoreAction,
} from "../../../src/cp/store/level-errors.ts";
import { ConfigError } from "../../../src/model/violation.ts";

/** An error as the binding throws it: its own, around the system's text. */
function wrapped(code: string, text: string, inner?: string): Error {
  const cause = Object.assign(new Error(text), { code: inner ?? code });
  return Object.assign(new Error("Database failed"), { code, cause });
}

const cases: readonly {
  readonly what: string;
  readonly error: unknown;
  readonly action: StoreAction;
  readonly code: string;
  readonly says: RegExp;
}[] = [
  {
    what: "a lock",
    error: wrapped("LEVEL_DATABASE_NOT_OPEN", "IO error: lock", "LEVEL_LOCKED"),
    action: "open",
    code: "failed_precondition",
    says: /in use by another process: stop that one, or give this one another --data-dir/,
  },
  {
    what: "a full disk, as LevelDB says it",
    error: wrapped(
      "LEVEL_IO_ERROR",
      "IO error: /d/1.log: No space left on device",
    ),
    action: "commit",
    code: "resource_exhausted",
    says: /disk .* \/d is full: free some space.* not certain/,
  },
  {
    what: "a full disk, as Node says it",
    error: Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }),
    action: "read",
    code: "resource_exhausted",
    says: /nothing was changed/,
  },
  {
    what: "a quota",
    error: wrapped("LEVEL_IO_ERROR", "IO error: Disk quota exceeded"),
    action: "commit",
    code: "resource_exhausted",
    says: /full/,
  },
  {
    what: "a read-only disk at the start",
    error: wrapped(
      "LEVEL_IO_ERROR",
      "IO error: /d/LOCK: Read-only file system",
    ),
    action: "open",
    code: "failed_precondition",
    says: /cannot be written .*Read-only file system.*make it writable/,
  },
  {
    what: "a disk that became read-only",
    error: wrapped(
      "LEVEL_IO_ERROR",
      "IO error: /d/1.log: Read-only file system",
    ),
    action: "commit",
    code: "unavailable",
    says: /make it writable/,
  },
  {
    what: "somebody else's directory",
    error: Object.assign(new Error("EACCES: permission denied, mkdir '/d'"), {
      code: "EACCES",
    }),
    action: "open",
    code: "failed_precondition",
    says: /make it writable for the user that runs this process/,
  },
  {
    what: "damaged tables",
    error: wrapped("LEVEL_CORRUPTION", "Corruption: block checksum mismatch"),
    action: "read",
    code: "failed_precondition",
    says: /is damaged: .*checksum mismatch.*Put a backup/,
  },
  {
    what: "any other failure of the disk",
    error: wrapped("LEVEL_IO_ERROR", "IO error: /d/1.log: Input/output error"),
    action: "commit",
    code: "unavailable",
    says: /failed \(IO error.*\).*whether the change was stored is not certain/,
  },
  {
    what: "something that is no error",
    error: "boom",
    action: "read",
    code: "unavailable",
    says: /boom/,
  },
];

describe("a failure of the database says what it means and what to do", () => {
  test.each(cases)("$what", ({ error, action, code, says }) => {
    const translated = storeError(error, action, "/d");
    expect(translated.code).toBe(code);
    expect(translated.message).toMatch(says);
    expect(translated.cause).toBe(error);
  });

  test("an error that says so already stays as it is", () => {
    const error = new ConfigError("aborted", "x");
    expect(storeError(error, "commit", "/d")).toBe(error);
  });
});
