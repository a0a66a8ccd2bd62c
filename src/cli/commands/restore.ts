import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { State } from "../../dp/replica/last-good.ts";
import { describeCursor } from "../../model/cursor.ts";
import {
  readVerifyKey,
  verifySnapshot,
} from "../../model/snapshot-signature.ts";
import { ConfigError, describeViolation } from "../../model/violation.ts";
import { systemClock } from "../../runtime/clock.ts";
import { command } from "../command.ts";
import { optional, required } from "../flags.ts";
import { EXIT, Failure } from "../io.ts";
import { withElapsed } from "../progress.ts";
import { printable } from "../table.ts";
import { text } from "../value-types.ts";

/** `holdfast restore` */
export const restore = command({
  name: "restore",
  summary: "Make a control plane's data directory from a snapshot file (.hfs)",
  argsUsage: "FILE",
  argsCount: { min: 1, max: 1 },
  help: [
    "For a control plane whose data directory is lost. FILE is what export-snapshot wrote, or the last-good.hfs of a data plane. The new history has an epoch of its own and begins with the content of FILE as revision 1. No control plane is asked, and none may be running on the directory; a store that is there already is never overwritten.",
    "The file is compared with its root, and every entry with the rules of this version, before anything is written. When the command is interrupted there is no store, or the whole one.",
    'Data planes follow the new control plane. One that would lose more than half of its entries by that goes on serving what it has, and "holdfast nodes" shows it as held, until "holdfast nodes allow NODE".',
  ],
  examples: [
    [
      "holdfast restore backup.hfs --data-dir ./data/cp",
      "Make the directory; then start holdfast cp on it",
    ],
    [
      "holdfast restore backup.hfs --data-dir ./data/cp --verify-key signing.pub",
      "Only if FILE is signed for that key",
    ],
  ],
  flags: {
    dataDir: required(text("DIR"), {
      summary: "The control plane's directory; made if need be.",
    }),
    verifyKey: optional(text("FILE"), {
      summary:
        "The public key (PEM) that FILE must be signed for. Without it the signature is not looked at.",
    }),
    workspace: optional(text("NAME"), {
      summary:
        "The workspace that is to have the content. Without it: the one in the file.",
    }),
  },
  async run({ io }, flags, [file = ""]) {
    const state = await stateOf(file, flags.verifyKey);
    const { cursor, snapshot } = state;
    // Not before they are needed: every other command starts faster without them.
    const { restoreStore } = await import("../../cp/restore/restore-store.ts");
    const workspace = flags.workspace ?? snapshot.workspace;
    if (!/^[a-z0-9-]{1,63}$/.test(workspace))
      throw new Failure(
        `${flags.workspace === undefined ? `${file} is of` : "--workspace:"} workspace "${printable(workspace)}", and a name is 1 to 63 of a-z, 0-9 and "-": --workspace puts the content into another`,
      );
    const restored = await withElapsed(io, "restoring", () =>
      restoreStore({
        dataDir: flags.dataDir,
        workspace,
        state,
        message: `from ${describeCursor(cursor)}`,
        nowMs: systemClock.now(),
        signal: io.stop,
      }).catch((error: unknown) => {
        throw failureOf(error, file);
      }),
    );
    io.stdout.write(
      [
        `restored ${describeCursor(cursor)} with ${restored.entries} entries`,
        `to ${restored.directory}`,
        `as ${describeCursor(restored.cursor)}`,
        `start it: holdfast cp --data-dir ${flags.dataDir} …`,
        "",
      ].join("\n"),
    );
    return EXIT.done;
  },
});

/** What a snapshot file holds, proved by its root, and by a signature when there is a key for that. */
async function stateOf(
  file: string,
  keyFile: string | undefined,
): Promise<State> {
  const { readStateFile } = await import("../../dp/replica/last-good.ts");
  const { DamagedFileError } = await import("../../dp/state-reader.ts");
  const keys = keyFile === undefined ? undefined : [await keyIn(keyFile)];
  let state: State | undefined;
  try {
    state = await readStateFile(file, (header) =>
      keys === undefined ? undefined : verifySnapshot(header, keys),
    );
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(
      error instanceof DamagedFileError
        ? `${file} ${why}: nothing was changed`
        : `cannot read ${file}: ${why}`,
      { cause: error },
    );
  }
  if (state === undefined) throw new Failure(`there is no file ${file}`);
  return state;
}

async function keyIn(file: string): Promise<KeyObject> {
  let pem: string;
  try {
    pem = await readFile(file, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`cannot read ${file}: ${why}`, { cause: error });
  }
  const key = readVerifyKey(pem);
  if (typeof key === "string")
    throw new Failure(`--verify-key: ${file} ${key}`);
  return key;
}

/** Violations shown, at most. */
const SHOWN = 20;

function failureOf(error: unknown, file: string): unknown {
  if (!(error instanceof ConfigError)) return systemFailure(error);
  const { violations } = error;
  if (violations.length === 0)
    return new Failure(error.message, { cause: error });
  const lines = violations
    .slice(0, SHOWN)
    .map((violation) => `  ${printable(describeViolation(violation))}`);
  const more = violations.length - lines.length;
  return new Failure(
    [
      `${file} holds what this version does not accept, so nothing was written; use the version that wrote it:`,
      ...lines,
      ...(more > 0 ? [`  and ${more} more`] : []),
    ].join("\n"),
    { cause: error },
  );
}

/** What the operating system refuses is no defect of this program. */
function systemFailure(error: unknown): unknown {
  return error instanceof Error && "code" in error
    ? new Failure(error.message, { cause: error })
    : error;
}
