import { MAX_FILE_CHARACTERS } from "../../model/declarative/document.ts";
import { serializeDeclarative } from "../../model/declarative/serialize.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import { adminFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { exportAll, writing } from "../exported.ts";
import { optional } from "../flags.ts";
import { EXIT } from "../io.ts";
import { withElapsed } from "../progress.ts";
import { text } from "../value-types.ts";

/** `holdfast dump` */
export const dump = command({
  name: "dump",
  summary: "Write the whole configuration as a declarative file",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Writes the newest revision in Kong's format, flat, with every id and every default. Applied to an empty control plane it makes the same configuration, down to the root.",
    "Keys and private keys stand in it in clear, passwords as they are stored: a file is readable by its owner only.",
  ],
  examples: [
    ["holdfast dump -o kong.yml", "Write a file, replacing it whole"],
    [
      "holdfast dump --admin http://a:8001 | holdfast apply -f - --admin http://b:8001",
      "Copy a configuration to another control plane",
    ],
  ],
  flags: {
    out: optional(text("FILE"), {
      summary: "The file to write. Without it: standard output.",
      short: "o",
    }),
    ...adminFlags,
  },
  async run({ io }, flags) {
    return withClient(io, flags, async (client) => {
      const { cursor, resources } = await withElapsed(
        io,
        "reading the configuration",
        () => exportAll(client),
      );
      const { out } = flags;
      const content = serializeDeclarative(resources);
      if (out === undefined || out === "-") io.stdout.write(content);
      else await writing(out, () => writeFileDurably(out, content));
      const where = out === undefined || out === "-" ? "" : ` to ${out}`;
      io.stderr.write(
        `wrote revision ${cursor.revision} (${resources.length} resources)${where}. Note: it has the keys and private keys in clear.\n`,
      );
      if (content.length > MAX_FILE_CHARACTERS)
        io.stderr.write(
          `warning: it has ${content.length} characters; apply reads at most ${MAX_FILE_CHARACTERS} of one file: split it, the lists of one kind may stand in several files\n`,
        );
      return EXIT.done;
    });
  },
});
