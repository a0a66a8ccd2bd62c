import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describeCursor } from "../../model/cursor.ts";
import { systemClock } from "../../runtime/clock.ts";
import { adminFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { exportAll, writing } from "../exported.ts";
import { snapshotOf } from "../exported-snapshot.ts";
import { optional, required } from "../flags.ts";
import { EXIT, Failure } from "../io.ts";
import { withElapsed } from "../progress.ts";
import { text } from "../value-types.ts";

/** `holdfast export-snapshot` */
export const exportSnapshot = command({
  name: "export-snapshot",
  summary: "Write the whole configuration as a snapshot file (.hfs)",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Writes the newest revision as data planes keep it: the exact bytes, with the epoch, revision and root that prove them. For people and for other gateways use dump.",
    "The file is compared with the control plane's root before it is written. Keys and private keys stand in it in clear: it is readable by its owner only.",
  ],
  examples: [
    ["holdfast export-snapshot -o edge.hfs", "Write a file"],
    [
      "holdfast export-snapshot -o edge.hfs --snapshot-key holdfast-signing.key",
      "Write one that data planes can start from",
    ],
  ],
  flags: {
    out: required(text("FILE"), {
      summary: "The file to write, replaced whole.",
      short: "o",
    }),
    snapshotKey: optional(text("KEY"), {
      summary:
        "The private key (Ed25519, PEM) to sign it with: only a signed file is one that dp --fallback starts from.",
    }),
    ...adminFlags,
  },
  async run({ io }, flags) {
    return withClient(io, flags, async (client) => {
      const { out } = flags;
      const signingKey = await signingKeyOf(flags.snapshotKey);
      const { cursor, snapshot } = await withElapsed(
        io,
        "reading the configuration",
        async () => {
          const exported = await exportAll(client);
          const { workspace } = client;
          return {
            cursor: exported.cursor,
            snapshot: await snapshotOf(workspace, exported),
          };
        },
      );
      // Not before it is needed: every other command starts faster without it.
      const { writeStateFile } = await import("../../dp/replica/last-good.ts");
      await writing(out, () =>
        writeStateFile(
          out,
          { cursor, snapshot },
          systemClock.now(),
          signingKey,
        ),
      );
      io.stderr.write(
        `wrote ${describeCursor(cursor)} with ${snapshot.entryCount} entries to ${out}. Note: it has the keys and private keys in clear.\n`,
      );
      return EXIT.done;
    });
  },
});

async function signingKeyOf(
  file: string | undefined,
): Promise<KeyObject | undefined> {
  if (file === undefined) return undefined;
  const { readSigningKey } = await import("../../model/snapshot-signature.ts");
  const pem = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Failure(
      `cannot read --snapshot-key ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  });
  const key = readSigningKey(pem);
  if (typeof key === "string")
    throw new Failure(`--snapshot-key ${file} ${key}`);
  return key;
}
