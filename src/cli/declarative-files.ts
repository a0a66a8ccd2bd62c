import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { create } from "@bufbuild/protobuf";
import {
  FileSchema,
  type File,
} from "../gen/holdfast/admin/v1/config_service_pb.js";
import {
  fillPlaceholders,
  type FilledFile,
} from "../model/declarative/fill-placeholders.ts";
import {
  describeProblem,
  type DeclarativeFile,
} from "../model/declarative/parsed.ts";
import type { Context } from "./command.ts";
import { list, toggle, type Values } from "./flags.ts";
import { Failure, UsageError, type Io } from "./io.ts";
import { original } from "./original-places.ts";
import { printable } from "./table.ts";
import { text } from "./value-types.ts";

/** The flags of every command that reads declarative files. */
export const fileFlags = {
  file: list(text("FILE|DIR"), {
    summary:
      'YAML or JSON, or a folder with such files; "-" is standard input. All of them together are one configuration.',
    short: "f",
    required: true,
  }),
  expandVars: toggle({
    summary:
      'Fill in $NAME and ${NAME} from the environment too, not only decK\'s ${{ env "DECK_NAME" }}. "$$" is then a "$".',
  }),
};

/** Declarative files whose placeholders are filled in. */
export interface ReadFiles {
  readonly files: File[];
  /** A text with the places of the filled files, with those that the files have on disk instead. */
  readonly original: (text: string) => string;
}

/** Reads the files that `-f` names, with those in folders, and fills in their placeholders. */
export async function readFiles(
  { io, env }: Pick<Context, "io" | "env">,
  given: Values<typeof fileFlags>,
): Promise<ReadFiles> {
  if (given.file.filter((name) => name === "-").length > 1)
    throw new UsageError(["--file: standard input can be read once"]);
  const options = { values: env, shell: given.expandVars };
  const filled: FilledFile[] = [];
  // One after the other, so that the first that cannot be read is the one that is named.
  for (const name of given.file)
    for (const file of await filesAt(io, name))
      filled.push(fillPlaceholders(file, options));
  const problems = filled.flatMap((one) => one.problems);
  if (problems.length > 0)
    throw new Failure(
      [
        "placeholders cannot be filled in:",
        ...problems.map((one) => `  ${printable(describeProblem(one))}`),
      ].join("\n"),
    );
  return {
    files: filled.map(({ file }) => create(FileSchema, file)),
    original: (text) => original(text, filled),
  };
}

async function filesAt(io: Io, name: string): Promise<DeclarativeFile[]> {
  if (name === "-") return [textOf("stdin", await buffer(io.stdin))];
  const paths = await naming(name, async () =>
    (await stat(name)).isDirectory() ? within(name) : [name],
  );
  if (paths.length === 0)
    throw new Failure(
      `there is no file in ${name} that ends in .yml, .yaml or .json`,
    );
  const files: DeclarativeFile[] = [];
  for (const one of paths)
    files.push(textOf(one, await naming(one, () => readFile(one))));
  return files;
}

/** The declarative files of a folder and those in it, in the order of their paths. What starts with a dot is left out. */
async function within(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory()) found.push(...(await within(full)));
    else if (
      /\.(?:ya?ml|json)$/i.test(entry.name) &&
      // Links to files are followed, as mounted volumes have them; links to folders may go round in circles.
      (entry.isFile() || (await stat(full)).isFile())
    )
      found.push(full);
  }
  return found.sort();
}

function textOf(name: string, bytes: Uint8Array): DeclarativeFile {
  try {
    const content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return { name, content };
  } catch {
    throw new Failure(`${name} is not UTF-8 text`);
  }
}

async function naming<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`cannot read ${name}: ${why}`, { cause: error });
  }
}
