import { open, readFile, rm, type FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { systemClock } from "../../runtime/clock.ts";
import { Failure } from "../io.ts";
import { printable } from "../table.ts";

/** Another change of the same file takes a moment. */
const WAIT_MS = 10_000;
const AGAIN_MS = 50;

/** Does something that nobody else does at the same time with a file: FILE.lock is there meanwhile. */
export async function locked(
  file: string,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  const lock = `${file}.lock`;
  const handle = await take(lock, file, signal);
  try {
    await handle.writeFile(`${process.pid} ${hostname()}\n`);
    await work();
  } finally {
    await handle.close();
    await rm(lock, { force: true });
  }
}

async function take(
  lock: string,
  file: string,
  signal: AbortSignal,
): Promise<FileHandle> {
  const endsMs = systemClock.monotonic() + WAIT_MS;
  for (;;) {
    try {
      return await open(lock, "wx", 0o600);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      if (code !== "EEXIST")
        throw new Failure(
          error instanceof Error ? error.message : String(error),
        );
    }
    const holder = await holderOf(lock);
    if (holder.gone || systemClock.monotonic() > endsMs)
      throw new Failure(
        `${lock} is there: ${holder.text}. Nothing was changed. If no other holdfast command changes ${file} now, an interrupted one has left it: remove it and try again`,
      );
    await systemClock.sleep(AGAIN_MS, signal);
  }
}

/** Who has a lock, and whether that is known to be nobody any more. */
async function holderOf(
  lock: string,
): Promise<{ readonly text: string; readonly gone: boolean }> {
  const said = await contentOf(lock);
  const { pid, host } =
    /^(?<pid>[1-9]\d{0,9}) (?<host>\S+)\n$/.exec(said)?.groups ?? {};
  if (pid === undefined || host === undefined)
    return { text: "it does not say whose it is", gone: false };
  const text = `process ${pid} on ${printable(host)} has made it`;
  if (host !== hostname() || runs(Number(pid))) return { text, gone: false };
  // It may have ended since, and in good order: then its lock has gone with it.
  if ((await contentOf(lock)) !== said) return { text, gone: false };
  return { text: `${text}, which does not run any more`, gone: true };
}

function contentOf(lock: string): Promise<string> {
  return readFile(lock, "utf8").catch(() => "");
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
