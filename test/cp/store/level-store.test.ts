import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Level } from "level";
import { describe, expect, test } from "vitest";
import { LevelStore } from "../../../src/cp/store/level-store.ts";
import type { LoadedWorkspace } from "../../../src/cp/store/store.ts";
import { commitOf } from "../../support/commit-of.ts";
import { id } from "../../support/resources.ts";
import { testStore } from "../../support/store-contract.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

testStore("LevelStore", async () => {
  const directory = path.join(await temporaryDirectory(), "store");
  return { open: () => LevelStore.open({ directory }) };
});

const WORKSPACE = "default";
const key = (number: number): string => `route/${id(number)}`;

/** A store of three revisions that is closed again. */
async function written(): Promise<{
  readonly directory: string;
  readonly state: LoadedWorkspace;
}> {
  const directory = path.join(await temporaryDirectory(), "store");
  await using store = await LevelStore.open({ directory });
  let state = await store.load(WORKSPACE);
  for (let i = 1; i <= 3; i++) {
    const { commit, next } = commitOf(state, [
      { key: key(i), after: Buffer.from(`value ${i}`) },
    ]);
    await store.commit(WORKSPACE, [commit]);
    state = next;
  }
  return { directory, state };
}

/** Does something to a closed store's database behind its back. */
async function tamper(
  directory: string,
  change: (database: Level) => Promise<void>,
): Promise<void> {
  const database = new Level(directory);
  await change(database);
  await database.close();
}

async function loadError(directory: string): Promise<string> {
  await using store = await LevelStore.open({ directory });
  const error = await store.load(WORKSPACE).catch((e: unknown) => e);
  expect(error).toMatchObject({
    name: "ConfigError",
    code: "failed_precondition",
  });
  const { message } = error as Error;
  expect(message).toContain(directory);
  expect(message).toMatch(/Put a backup .* in its place; or move it away/);
  return message;
}

describe("a store whose content contradicts itself is refused, with what to do", () => {
  test("an entry that was changed", async () => {
    const { directory, state } = await written();
    await tamper(directory, (db) =>
      db.put(`default/entry/${key(2)}`, "something else"),
    );
    expect(await loadError(directory)).toMatch(
      new RegExp(
        `the 3 entries of workspace "default" have root [0-9a-f]{64}, .*revision 3.* says ${state.cursor.root}`,
      ),
    );
  });

  test("an entry that is gone", async () => {
    const { directory } = await written();
    await tamper(directory, (db) => db.del(`default/entry/${key(2)}`));
    expect(await loadError(directory)).toContain("the 2 entries");
  });

  test("an entry under a key that is none", async () => {
    const { directory } = await written();
    await tamper(directory, (db) => db.put("default/entry/nonsense", "x"));
    expect(await loadError(directory)).toContain(
      '"nonsense" is not the key of an entry',
    );
  });

  test("a gap in the history", async () => {
    const { directory } = await written();
    await tamper(directory, (db) =>
      db.del(`default/log/${"2".padStart(20, "0")}`),
    );
    expect(await loadError(directory)).toContain(
      "goes from revision 1 to revision 3",
    );
  });

  test("a history that ends before the head", async () => {
    const { directory } = await written();
    await tamper(directory, (db) =>
      db.del(`default/log/${"3".padStart(20, "0")}`),
    );
    expect(await loadError(directory)).toMatch(
      /history ends with revision 2, and its head is revision 3/,
    );
  });

  test("a record that is cut off", async () => {
    const { directory } = await written();
    const name = `default/log/${"3".padStart(20, "0")}`;
    const database = new Level<string, Buffer>(directory, {
      valueEncoding: "buffer",
    });
    const record = await database.get(name);
    await database.put(name, record.subarray(0, record.length - 2));
    await database.close();
    await using store = await LevelStore.open({ directory });
    await expect(store.record(WORKSPACE, 3n)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringMatching(
        /a record in its history is unreadable: it ends at byte \d+/,
      ) as string,
    });
    await expect(store.load(WORKSPACE)).rejects.toMatchObject({
      code: "failed_precondition",
    });
  });

  test("a head that is gone, or none", async () => {
    const { directory } = await written();
    await tamper(directory, (db) => db.put("default/head", "nonsense"));
    expect(await loadError(directory)).toContain("is not a head but");
    await tamper(directory, (db) => db.del("default/head"));
    expect(await loadError(directory)).toContain('no "default/head"');
  });

  test("a database of something else", async () => {
    const directory = await temporaryDirectory();
    await tamper(directory, (db) => db.put("a", "b"));
    await expect(LevelStore.open({ directory })).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining('it has "a" and no "format"') as string,
    });
  });

  test("a list of files that was cut off", async () => {
    const { directory } = await written();
    for (const file of await readdir(directory))
      if (file.startsWith("MANIFEST"))
        await writeFile(path.join(directory, file), "");
    await expect(LevelStore.open({ directory })).rejects.toMatchObject({
      name: "ConfigError",
      message: expect.stringContaining(directory) as string,
    });
  });
});

test("a newer format is refused with both numbers", async () => {
  const { directory } = await written();
  await tamper(directory, (db) => db.put("format", "7"));
  await expect(LevelStore.open({ directory })).rejects.toMatchObject({
    code: "failed_precondition",
    message: expect.stringMatching(
      /has format 7, and this build reads format 2/,
    ) as string,
  });
});

test("a store gets the format that older builds refuse only when an epoch is replaced in it", async () => {
  const { directory, state } = await written();
  const stored = async (): Promise<readonly (string | undefined)[]> => {
    const values: (string | undefined)[] = [];
    await tamper(directory, async (db) => {
      values.push(await db.get("format"), await db.get("default/head"));
    });
    return values;
  };
  const { epoch, root } = state.cursor;
  // To the byte what the first builds wrote, so that they can be gone back to.
  expect(await stored()).toEqual([
    "1",
    JSON.stringify({ epoch, revision: "3", root }),
  ]);
  {
    await using store = await LevelStore.open({ directory });
    await store.load(WORKSPACE);
    await store.adopt(WORKSPACE, { from: epoch });
  }
  const [format, head] = await stored();
  expect(format).toBe("2");
  expect(JSON.parse(head ?? "")).toMatchObject({ predecessors: [epoch] });
});

test("a head of another epoch than its newest record, which it does not say to have replaced, is damage", async () => {
  const { directory, state } = await written();
  const { root } = state.cursor;
  await tamper(directory, (db) =>
    db.put(
      "default/head",
      JSON.stringify({
        epoch: "another",
        revision: "3",
        root,
        predecessors: ["a third"],
      }),
    ),
  );
  expect(await loadError(directory)).toContain("its newest record led to");
});

test("a store that is in use is refused, and can be opened once it is closed", async () => {
  const directory = path.join(await temporaryDirectory(), "store");
  const first = await LevelStore.open({ directory });
  await expect(LevelStore.open({ directory })).rejects.toMatchObject({
    code: "failed_precondition",
    message: expect.stringMatching(
      /in use by another process: stop that one/,
    ) as string,
  });
  await first.close();
  await using second = await LevelStore.open({ directory });
  expect((await second.load(WORKSPACE)).cursor.revision).toBe(0n);
});

test("a directory that cannot be made is refused by its name", async () => {
  const file = path.join(await temporaryDirectory(), "file");
  await writeFile(file, "");
  const directory = path.join(file, "store");
  await expect(LevelStore.open({ directory })).rejects.toMatchObject({
    name: "ConfigError",
    message: expect.stringContaining(directory) as string,
  });
});

test("only the owner can look into the directory and its files, those included that come later", async () => {
  const directory = path.join(await temporaryDirectory(), "deep", "store");
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await using store = await LevelStore.open({ directory });
  let state = await store.load(WORKSPACE);
  // Enough for the database to write tables of its own accord.
  for (let i = 0; i < 12; i++) {
    const { commit, next } = commitOf(
      state,
      Array.from({ length: 4 }, (_, j) => ({
        key: key(i * 4 + j),
        after: Buffer.alloc(200_000, i),
      })),
    );
    await store.commit(WORKSPACE, [commit]);
    state = next;
  }
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  const files = await readdir(directory);
  expect(files.some((file) => file.endsWith(".ldb"))).toBe(true);
  for (const file of files)
    expect([
      file,
      (await stat(path.join(directory, file))).mode & 0o777,
    ]).toEqual([file, 0o600]);
});

test("what is locked in by kill -9 is what was acknowledged, whole, time after time", async () => {
  const directory = path.join(await temporaryDirectory(), "store");
  let last = 0n;
  for (let round = 0; round < 4; round++) {
    const acknowledged = await writeAndKill(directory, 20 + 17 * round);
    await using store = await LevelStore.open({ directory });
    const { cursor, snapshot } = await store.load(WORKSPACE);
    expect(cursor.revision).toBeGreaterThanOrEqual(acknowledged);
    expect(acknowledged).toBeGreaterThan(last);
    const numbers = [1, 2, 3].map((n) =>
      Buffer.from(snapshot.get(key(n)) ?? [])
        .toString()
        .split(" ", 1)
        .join(""),
    );
    expect(new Set(numbers)).toEqual(new Set([cursor.revision.toString()]));
    last = cursor.revision;
  }
}, 60_000);

/** Lets a process write until it has acknowledged so many revisions, and kills it. Returns the last of them. */
async function writeAndKill(directory: string, count: number): Promise<bigint> {
  const script = fileURLToPath(
    new URL("../../support/store-writer.ts", import.meta.url),
  );
  const child = spawn(
    process.execPath,
    ["--import", "tsx", script, directory],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  let last = 0n;
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    last = BigInt(line);
    if (++seen === count) child.kill("SIGKILL");
  }
  await exited;
  expect(errors).toBe("");
  return last;
}

test("a backup of the files, put in place, is what it was", async () => {
  const { directory, state } = await written();
  const copy = await temporaryDirectory();
  for (const file of await readdir(directory))
    await writeFile(
      path.join(copy, file),
      await readFile(path.join(directory, file)),
    );
  await rm(directory, { recursive: true });
  await using store = await LevelStore.open({ directory: copy });
  expect((await store.load(WORKSPACE)).cursor).toEqual(state.cursor);
});

const canLimit =
  process.platform === "linux" &&
  spawnSync("prlimit", ["--version"]).status === 0;

test.skipIf(!canLimit)(
  "after a write that failed on the disk it goes on from what is really there",
  async () => {
    const directory = path.join(await temporaryDirectory(), "store");
    const script = fileURLToPath(
      new URL("../../support/store-limited.ts", import.meta.url),
    );
    // Files may have 600 KiB at most; what would be longer fails in the middle.
    const child = spawn(
      "prlimit",
      [
        "--fsize=614400:unlimited",
        process.execPath,
        "--import",
        "tsx",
        script,
        directory,
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (!line.startsWith("known")) continue;
      spawnSync("prlimit", [
        "--pid",
        String(child.pid),
        "--fsize=unlimited:unlimited",
      ]);
      child.stdin.write("go on\n");
    }
    expect(await exited).toBe(0);
    const [failed, , committed = ""] = lines;
    expect(failed).toBe("failed unavailable");
    await using store = await LevelStore.open({ directory });
    const { cursor } = await store.load(WORKSPACE);
    expect(committed).toBe(`committed ${cursor.revision} ${cursor.root}`);
  },
  30_000,
);

test.skipIf(process.platform !== "linux")(
  "after a large load no file of the database stays in memory, and it takes writes as before",
  async () => {
    const directory = path.join(await temporaryDirectory(), "store");
    const mapped = async (): Promise<number> =>
      (await readFile("/proc/self/maps", "utf8"))
        .split("\n")
        .filter((line) => line.includes(`${directory}/`)).length;
    const bytes = Buffer.alloc(64 << 10);
    {
      await using store = await LevelStore.open({ directory });
      const { commit } = commitOf(
        await store.load(WORKSPACE),
        Array.from({ length: 320 }, (_, i) => {
          // Nothing that gets smaller on the disk.
          createHash("shake256", { outputLength: bytes.length })
            .update(String(i))
            .digest()
            .copy(bytes);
          return { key: key(i), after: Buffer.from(bytes) };
        }),
      );
      await store.commit(WORKSPACE, [commit]);
    }
    await using store = await LevelStore.open({ directory });
    const loaded = await store.load(WORKSPACE);
    expect(loaded.snapshot.entryCount).toBe(320);
    expect(await mapped()).toBe(0);
    expect(await store.times(WORKSPACE, [key(1)])).not.toEqual([undefined]);
    expect(await mapped()).toBeGreaterThan(0);
    const { commit, next } = commitOf(loaded, [
      { key: key(1000), after: Buffer.from("x") },
    ]);
    await store.commit(WORKSPACE, [commit]);
    expect((await store.load(WORKSPACE)).cursor).toEqual(next.cursor);
  },
);
