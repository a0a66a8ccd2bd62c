/**
 * A process that opens databases with damaged tables: `node damaged-tables-process.ts DIRECTORY`. A line for each says
 * what came of it; what LevelDB does with them would end the process.
 */
import { cp, open, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { ReplicaStore } from "../../src/dp/replica/replica-store.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { commitOf } from "./commit-of.ts";
import { ManualClock } from "./manual-clock.ts";
import { id } from "./resources.ts";
import { filled } from "./states.ts";

const [, , directory = ""] = process.argv;
const PLACES = [7, 500];

function openReplica(dataDir: string): Promise<ReplicaStore> {
  return ReplicaStore.open({
    dataDir,
    workspace: "default",
    clock: new ManualClock(),
    logger: silentLogger,
  });
}

/** Enough openings that LevelDB merges what they leave with the next. */
async function makeReplica(dataDir: string): Promise<void> {
  for (let revision = 1; revision <= 4; revision++) {
    await using store = await openReplica(dataDir);
    await store.persist(filled(revision, 30, 500));
  }
}

async function makeStore(database: string): Promise<void> {
  for (let round = 1; round <= 4; round++) {
    await using store = await LevelStore.open({ directory: database });
    const { commit } = commitOf(
      await store.load("default"),
      Array.from({ length: 30 }, (_, i) => ({
        key: `service/${id(1_000 * round + i)}`,
        after: Buffer.alloc(500, i),
      })),
    );
    await store.commit("default", [commit]);
  }
}

async function openStore(database: string): Promise<string> {
  try {
    await using store = await LevelStore.open({ directory: database });
    await store.load("default");
    return "opened";
  } catch (error) {
    return String(error);
  }
}

/** Copies a database, turns a bit of a table over, opens it, and says what came of that; for each table of it. */
async function tryAll(
  name: string,
  database: string,
  attempt: (changed: string) => Promise<string>,
): Promise<void> {
  const tables = (await readdir(path.join(directory, name, database))).filter(
    (file) => file.endsWith(".ldb"),
  );
  for (const table of tables)
    for (const at of PLACES) {
      const changed = path.join(directory, "changed");
      await cp(path.join(directory, name), changed, { recursive: true });
      const file = path.join(changed, database, table);
      await using handle = await open(file, "r+");
      const place = Math.min(at, (await stat(file)).size - 100);
      const byte = Buffer.alloc(1);
      await handle.read(byte, 0, 1, place);
      await handle.write(Buffer.of((byte[0] ?? 0) ^ 0x80), 0, 1, place);
      const outcome = await attempt(changed);
      process.stdout.write(`${JSON.stringify([name, table, outcome])}\n`);
      await rm(changed, { recursive: true });
    }
}

await makeReplica(path.join(directory, "replica"));
await makeStore(path.join(directory, "store", "database"));
await tryAll("replica", "replica", async (changed) => {
  await using store = await openReplica(changed);
  return store.loaded?.source ?? "nothing";
});
await tryAll("store", "database", (changed) =>
  openStore(path.join(changed, "database")),
);
