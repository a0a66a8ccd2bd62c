import { open, readFile } from "node:fs/promises";
import path from "node:path";
import { FieldReader, FormError } from "./field-reader.ts";
import { LOG_BLOCK_BYTES, logRecords } from "./log-records.ts";

/** A table that a database consists of. */
export interface LiveTable {
  readonly number: number;
  readonly bytes: number;
}

/** Tables by their level and number: one that moves to another level goes from one place to the other. */
type Tables = Map<string, LiveTable>;

/**
 * The tables that LevelDB reads when it opens a database: those of the manifest that CURRENT names. What a crash in the
 * middle of a compaction left is not among them.
 *
 * @throws FormError, or what the file system says, when these two cannot be read.
 */
export async function readLiveTables(
  directory: string,
): Promise<readonly LiveTable[]> {
  const current = await readFile(path.join(directory, "CURRENT"), "latin1");
  const [, manifest] = /^(MANIFEST-\d+)\n$/.exec(current) ?? [];
  if (manifest === undefined)
    throw new FormError("CURRENT does not name a manifest");
  const tables: Tables = new Map();
  for await (const record of logRecords(
    blocksOf(path.join(directory, manifest)),
  ))
    applyEdit(tables, new FieldReader(record));
  return [...tables.values()];
}

async function* blocksOf(
  file: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(file);
  try {
    for (;;) {
      const block = Buffer.alloc(LOG_BLOCK_BYTES);
      let length = 0;
      while (length < block.length) {
        const { bytesRead } = await handle.read(block, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      yield block.subarray(0, length);
      if (length < block.length) return;
    }
  } finally {
    await handle.close();
  }
}

/** The fields of an edit, by LevelDB's numbers for them. */
const COMPARATOR = 1;
const LOG_NUMBER = 2;
const NEXT_FILE_NUMBER = 3;
const LAST_SEQUENCE = 4;
const COMPACT_POINTER = 5;
const DELETED_FILE = 6;
const NEW_FILE = 7;
const PREVIOUS_LOG_NUMBER = 9;

function applyEdit(tables: Tables, fields: FieldReader): void {
  // What one edit takes away goes before what it adds, whatever their order in it.
  const added: [string, LiveTable][] = [];
  while (!fields.isAtEnd) {
    const field = fields.number();
    switch (field) {
      case COMPARATOR:
        fields.bytes(fields.number());
        break;
      case LOG_NUMBER:
      case NEXT_FILE_NUMBER:
      case LAST_SEQUENCE:
      case PREVIOUS_LOG_NUMBER:
        fields.number();
        break;
      case COMPACT_POINTER:
        fields.number();
        fields.bytes(fields.number());
        break;
      case DELETED_FILE: {
        const level = fields.number();
        tables.delete(`${level}/${fields.number()}`);
        break;
      }
      case NEW_FILE: {
        const level = fields.number();
        const number = fields.number();
        const bytes = fields.number();
        fields.bytes(fields.number());
        fields.bytes(fields.number());
        added.push([`${level}/${number}`, { number, bytes }]);
        break;
      }
      default:
        throw new FormError(`has an edit with field ${field}`);
    }
  }
  for (const [place, table] of added) tables.set(place, table);
}
