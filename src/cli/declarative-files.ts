import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  FileSchema,
  type File,
} from "../gen/holdfast/admin/v1/config_service_pb.js";
import { Failure, UsageError, type Io } from "./io.ts";

const DECODER_OPTIONS = { fatal: true } as const;

/** Reads the files that `-f` names; `-` is standard input. */
export async function readFiles(
  io: Io,
  names: readonly string[],
): Promise<File[]> {
  if (names.filter((name) => name === "-").length > 1)
    throw new UsageError(["--file: standard input can be read once"]);
  const files: MessageInitShape<typeof FileSchema>[] = [];
  // One after the other, so that the first that cannot be read is the one that is named.
  for (const name of names) {
    const bytes = name === "-" ? await buffer(io.stdin) : await readNamed(name);
    const shown = name === "-" ? "stdin" : name;
    try {
      const content = new TextDecoder("utf-8", DECODER_OPTIONS).decode(bytes);
      files.push({ name: shown, content });
    } catch {
      throw new Failure(`${shown} is not UTF-8 text`);
    }
  }
  return files.map((file) => create(FileSchema, file));
}

async function readNamed(name: string): Promise<Buffer> {
  try {
    return await readFile(name);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`cannot read ${name}: ${why}`, { cause: error });
  }
}
