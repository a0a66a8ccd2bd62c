import { Level } from "level";
import {
  cp,
  mkdir,
  open,
  readdir,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { findTableDamage } from "../../../src/runtime/leveldb-check/check.ts";
import { FieldReader } from "../../../src/runtime/leveldb-check/field-reader.ts";
import {
  readLiveTables,
  type LiveTable,
} from "../../../src/runtime/leveldb-check/live-tables.ts";
import { proveTable } from "../../../src/runtime/leveldb-check/table-blocks.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const random = SeededRandom.fromEnvironment();

/** The footer of a table. */
const FOOTER_BYTES = 48;
const MAGIC_BYTES = 8;

type Content = readonly (readonly [string, string])[];

/** A database with a table for each of these, made in blocks of so many bytes. */
async function databaseOf(
  contents: readonly Content[],
  blockSize: number,
): Promise<string> {
  const directory = path.join(await temporaryDirectory(), "db");
  // LevelDB makes a table of its log when it opens.
  for (const content of [...contents, []]) {
    const db = new Level(directory, { blockSize });
    await db.open();
    await db.batch(
      content.map(([key, value]) => ({ type: "put", key, value })),
    );
    await db.close();
  }
  return directory;
}

/** What compresses, in blocks whose list compresses too; and what does not. */
function small(): Promise<string> {
  const compressible = Array.from(
    { length: 12 },
    (_, i) =>
      [
        `workspaces/default/entries/route/${String(i * 7919).padStart(9, "0")}`,
        `value ${i} `.repeat(3),
      ] as const,
  );
  const incompressible = Array.from(
    { length: 4 },
    (_, i) =>
      [
        `x${i}`,
        Array.from({ length: 40 }, () =>
          String.fromCharCode(33 + random.below(90)),
        ).join(""),
      ] as const,
  );
  return databaseOf([compressible, incompressible], 100);
}

async function tablesIn(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith(".ldb"));
}

function fileOf({ number }: Pick<LiveTable, "number">): string {
  return `${String(number).padStart(6, "0")}.ldb`;
}

/** What LevelDB reads in the footer of a table: zeros fill up what its four numbers leave of it. */
function meaningOf(table: Buffer): string {
  const numbers = new FieldReader(table.subarray(-FOOTER_BYTES));
  try {
    return [
      ...Array.from({ length: 4 }, () => numbers.number()),
      table.toString("hex", table.length - MAGIC_BYTES),
    ].join();
  } catch (error) {
    return String(error);
  }
}

async function flip(file: string, at: number, mask = 0x80): Promise<void> {
  await using handle = await open(file, "r+");
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  await handle.write(Buffer.of((byte[0] ?? 0) ^ mask), 0, 1, at);
}

describe("the check of a database's tables", () => {
  test(`finds every byte that was changed, but for those that mean nothing (seed ${random.seed})`, async () => {
    const directory = await small();
    expect(await findTableDamage(directory)).toBeUndefined();
    const tables = await readLiveTables(directory);
    expect(tables).toHaveLength(2);
    for (const { number, bytes } of tables) {
      const file = path.join(directory, fileOf({ number }));
      await using handle = await open(file, "r+");
      const changed = await handle.readFile();
      expect(changed).toHaveLength(bytes);
      const meaning = meaningOf(changed);
      for (let at = 0; at < bytes; at++)
        for (const mask of [0x80, 1 + random.below(255)]) {
          changed[at] = (changed[at] ?? 0) ^ mask;
          await handle.write(changed, at, 1, at);
          const found = await proveTable(handle, bytes).then(
            () => false,
            () => true,
          );
          const matters =
            at < bytes - FOOTER_BYTES || meaningOf(changed) !== meaning;
          if (found !== matters)
            expect.fail(`byte ${at} of ${bytes}, by ${mask}: ${found}`);
          changed[at] = (changed[at] ?? 0) ^ mask;
          await handle.write(changed, at, 1, at);
        }
    }
  });

  test("says which file and which block of it", async () => {
    const directory = await small();
    const [first = ""] = await tablesIn(directory);
    const file = path.join(directory, first);
    await flip(file, 7);
    expect(await findTableDamage(directory)).toMatch(
      /[0-9]{6}\.ldb: its data block at byte 0, of \d+ bytes, has checksum [0-9a-f]{8}, and [0-9a-f]{8} was written$/,
    );
    expect(await findTableDamage(directory)).toContain(file);
    await flip(file, 7);
    expect(await findTableDamage(directory)).toBeUndefined();
    await truncate(file, 100);
    expect(await findTableDamage(directory)).toMatch(
      /has 100 bytes, and \d+ were written/,
    );
    await rm(file);
    await mkdir(file);
    expect(await findTableDamage(directory)).toContain(file);
  });

  test("reads blocks and tables of any size", async () => {
    const large = Array.from(
      { length: 12 },
      (_, i) =>
        [
          `large ${i}`,
          Array.from({ length: 150_000 }, () =>
            random.below(36).toString(36),
          ).join(""),
        ] as const,
    );
    const directory = await databaseOf([large], 4096);
    expect(await findTableDamage(directory)).toBeUndefined();
    for (const { number, bytes } of await readLiveTables(directory)) {
      const file = path.join(directory, fileOf({ number }));
      const at = random.below(bytes - FOOTER_BYTES);
      await flip(file, at);
      expect(await findTableDamage(directory), `byte ${at}`).toContain(file);
      await flip(file, at);
    }
  });

  test("does not look at what a crash left, or at what LevelDB tells itself", async () => {
    const directory = await small();
    const [first = ""] = await tablesIn(directory);
    await cp(path.join(directory, first), path.join(directory, "000777.ldb"));
    await flip(path.join(directory, "000777.ldb"), 7);
    expect(await findTableDamage(directory)).toBeUndefined();
    // A table that is not there.
    await cp(directory, `${directory}-2`, { recursive: true });
    await rm(path.join(`${directory}-2`, first));
    expect(await findTableDamage(`${directory}-2`)).toBeUndefined();
    // A manifest that cannot be read.
    await flip(path.join(directory, first), 7);
    const [manifest = ""] = (await readdir(directory)).filter((name) =>
      name.startsWith("MANIFEST-"),
    );
    await flip(path.join(directory, manifest), 9);
    expect(await findTableDamage(directory)).toBeUndefined();
    await flip(path.join(directory, manifest), 9);
    expect(await findTableDamage(directory)).toBeDefined();
    await writeFile(path.join(directory, "CURRENT"), "MANIFEST-000002");
    expect(await findTableDamage(directory)).toBeUndefined();
    await rm(path.join(directory, "CURRENT"));
    expect(await findTableDamage(directory)).toBeUndefined();
    expect(await findTableDamage(path.join(directory, "none"))).toBeUndefined();
  });

  test("follows tables that are merged and moved", async () => {
    const directory = path.join(await temporaryDirectory(), "db");
    const content = (round: number): Content =>
      Array.from({ length: 30 }, (_, i) => [`key ${i}`, `${round} ${i}`]);
    const seen: string[] = [];
    let last: readonly string[] = [];
    for (let round = 0; round < 9; round++) {
      const db = new Level(directory);
      await db.open();
      await db.batch(
        content(round).map(([key, value]) => ({ type: "put", key, value })),
      );
      await db.close();
      const live = (await readLiveTables(directory)).map(fileOf);
      // Closing may stop a merge, whose tables are left over then.
      expect(await tablesIn(directory)).toEqual(expect.arrayContaining(live));
      expect(new Set(live).size).toBe(live.length);
      seen.push(...live);
      last = live;
      expect(await findTableDamage(directory)).toBeUndefined();
    }
    expect(last.length).toBeLessThan(new Set(seen).size);
  });
});
