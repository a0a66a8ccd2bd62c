import { open, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { FormError } from "./field-reader.ts";
import { isLocked } from "./is-locked.ts";
import { readLiveTables, type LiveTable } from "./live-tables.ts";
import { proveTable } from "./table-blocks.ts";

/**
 * Says what is damaged in the tables of a LevelDB database that nobody has open; undefined when nothing is.
 *
 * LevelDB merges tables without a look at their checksums, and content out of order then ends the process in an
 * assertion: at this start, and at each one after it. So they are proved before it opens them: all that it would read,
 * and nothing else. Damage to its other files it finds, and survives, itself. What is damaged while a process runs is
 * found at the next start.
 */
export async function findTableDamage(
  directory: string,
): Promise<string | undefined> {
  for (const table of await tablesOf(directory)) {
    const damage = await damageOf(directory, table);
    // Of a database that is open elsewhere, LevelDB says so: its files are that process's business.
    if (damage !== undefined)
      return (await isLocked(directory)) ? undefined : damage;
  }
  return undefined;
}

/** None when the list of them cannot be read. */
async function tablesOf(directory: string): Promise<readonly LiveTable[]> {
  try {
    return await readLiveTables(directory);
  } catch (error) {
    if (error instanceof FormError || isSystemError(error)) return [];
    throw error;
  }
}

async function damageOf(
  directory: string,
  table: LiveTable,
): Promise<string | undefined> {
  const stem = path.join(directory, String(table.number).padStart(6, "0"));
  for (const name of [`${stem}.ldb`, `${stem}.sst`]) {
    const file = await openIfPossible(name);
    if (file === undefined) continue;
    try {
      await proveTable(file, table.bytes);
      return undefined;
    } catch (error) {
      if (error instanceof FormError) return `${name}: ${error.message}`;
      // LevelDB maps the file, and what cannot be read in there would end the process too.
      if (isSystemError(error))
        return `${name} cannot be read: ${error.message}`;
      throw error;
    } finally {
      await file.close();
    }
  }
  return undefined;
}

/** What cannot be opened, LevelDB cannot open either. */
async function openIfPossible(name: string): Promise<FileHandle | undefined> {
  try {
    return await open(name);
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

function isSystemError(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}
