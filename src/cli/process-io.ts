import { spawn } from "node:child_process";
import type { ExitCode, Io } from "./io.ts";

/** The same Ctrl-C reaches a process more than once when npm or a shell passes it on: this soon it counts as one. */
const SAME_SIGNAL_MS = 1000;
/** Ending takes no longer when nothing is in the way. */
const KILL_AFTER_MS = 300;

/**
 * The streams of this process, and a signal that is aborted when it is asked to end: by SIGINT, SIGTERM, or by the end of
 * the process that started it, where that keeps an IPC channel open. A second SIGINT or SIGTERM ends it at once.
 */
export function processIo(): Io {
  const controller = new AbortController();
  let askedAt: number | undefined;
  const ask = (_signal: string, number: number) => {
    const now = performance.now();
    if (askedAt !== undefined && now - askedAt > SAME_SIGNAL_MS)
      process.exit(128 + number);
    askedAt ??= now;
    controller.abort();
  };
  process.on("SIGINT", ask);
  process.on("SIGTERM", ask);
  process.on("disconnect", () => {
    controller.abort();
  });
  // Whoever read along has gone: there is nobody left to tell.
  const gone = () => {
    controller.abort();
  };
  process.stdout.on("error", gone);
  process.stderr.on("error", gone);
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    program: {
      execPath: process.execPath,
      args: [...process.execArgv, process.argv[1] ?? ""],
    },
    stop: controller.signal,
    onReopen: (reopen) => {
      process.on("SIGHUP", reopen);
    },
    killSoon,
  };
}

/**
 * Has this process killed in a moment. Its end waits for threads that wait for a disk or a pipe, however long that is, and
 * nothing that it could do itself would be done then. Who kills looks first whose child it still is: another process may
 * have got the number.
 */
function killSoon(): void {
  const { pid } = process;
  const script = `setTimeout(() => { if (process.ppid === ${pid}) process.kill(${pid}, "SIGKILL"); }, ${KILL_AFTER_MS})`;
  spawn(process.execPath, ["-e", script], { stdio: "ignore" })
    .on("error", () => process.kill(pid, "SIGKILL"))
    .unref();
}

/** Ends the process when all that was written has gone out, whatever else might keep it alive. */
export function endProcess(code: ExitCode): void {
  process.stdout.write("", () => {
    process.exit(code);
  });
}
