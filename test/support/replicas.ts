import { Level } from "level";
import { spawn, type ChildProcess } from "node:child_process";
import { cp, readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ReplicaStore } from "../../src/dp/replica/replica-store.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { silentLogger, type Logger } from "../../src/runtime/logger.ts";
import { ManualClock } from "./manual-clock.ts";
import type { TempDir } from "./temp-dir.ts";

/** Opens the replica in a directory's `dp`; its clock stands still unless one is given. */
export function openReplica(
  dir: TempDir,
  options: {
    readonly workspace?: string;
    readonly refuser?: string;
    readonly boot?: string;
    readonly logger?: Logger;
    readonly clock?: Clock;
  } = {},
): Promise<ReplicaStore> {
  return ReplicaStore.open({
    dataDir: dir.join("dp"),
    ...options,
    workspace: options.workspace ?? "default",
    clock: options.clock ?? new ManualClock(),
    logger: options.logger ?? silentLogger,
  });
}

/** The directories that were set aside in a directory's `dp`. */
export async function damagedOf(dir: TempDir): Promise<readonly string[]> {
  return (await readdir(dir.join("dp"))).filter((name) =>
    name.startsWith("replica.damaged-"),
  );
}

/** Copies a directory, or a file, as it is at this moment. LevelDB may take files away meanwhile: it is tried again then. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  for (let tries = 1; ; tries++)
    try {
      await cp(from, to, { recursive: true, force: true });
      return;
    } catch (error) {
      if (tries === 10) throw error;
      await rm(to, { recursive: true, force: true });
    }
}

/** Changes the database of a replica from outside. */
export async function tamper(
  dir: TempDir,
  change: (db: Level<string, Uint8Array>) => Promise<void>,
): Promise<void> {
  const db = new Level<string, Uint8Array>(dir.join("dp", "replica"), {
    valueEncoding: "view",
  });
  await db.open();
  try {
    await change(db);
  } finally {
    await db.close();
  }
}

/** A process of replica-process.ts on a directory's `dp`. */
export function replicaProcess(
  mode: "hold" | "write" | "limited",
  dir: TempDir,
  options: {
    /** What runs it: "prlimit", … */
    readonly through?: readonly [string, ...string[]];
    readonly uid?: number | undefined;
  } = {},
): ChildProcess & {
  readonly stdin: NonNullable<ChildProcess["stdin"]>;
  readonly stdout: NonNullable<ChildProcess["stdout"]>;
} {
  const script = fileURLToPath(new URL("replica-process.ts", import.meta.url));
  const args = ["--import", "tsx", script, mode, dir.join("dp")];
  const { through, uid } = options;
  const [command, ...before] = through ?? [process.execPath];
  if (through !== undefined) before.push(process.execPath);
  return spawn(command, [...before, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    ...(uid === undefined ? {} : { uid }),
  });
}
