import cluster from "node:cluster";
import { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { REQUESTS_STAY_YOUNG } from "../gateway/heap.ts";
import type { LINK_FD } from "./worker-main.ts";

/** A worker's process. */
export interface Forked {
  readonly pid: number;
  /** The pipe to it. */
  readonly stream: Duplex;
  readonly ended: Promise<Ending>;
  kill(): void;
}

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
}

const LINK: typeof LINK_FD = 4;

/**
 * V8 gives the space for new objects back when a process is idle, down to 1 MB, and then collects every few milliseconds
 * when requests come again, with a large configuration in the old space to look at each time: after 30 idle seconds with
 * 100,000 routes the first second's requests cost twice the CPU. This keeps the space at the size that it has under load.
 */
export const WORKER_FLAGS: readonly string[] = [
  "--min-semi-space-size=16",
  REQUESTS_STAY_YOUNG,
];

/**
 * Starts a worker's process. It is one of node's cluster: what it listens on is listened on by this process, which hands
 * the connections out in turn. Measured with 64 kept connections on two workers, that gives each 32; where the workers
 * accept themselves it is 23 and 41. It costs 0.2 ms a connection. And nothing but this process has the port, so that a
 * worker that hangs keeps nobody from it.
 */
export function forkWorker(): Forked {
  const isSource = import.meta.url.endsWith(".ts");
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({
    exec: fileURLToPath(
      new URL(
        isSource ? "./worker-main.ts" : "./worker-main.js",
        import.meta.url,
      ),
    ),
    args: [],
    // Run from its sources: a test's process has other means of taking TypeScript than a worker can use.
    execArgv: isSource
      ? [...WORKER_FLAGS, "--import", import.meta.resolve("tsx")]
      : // What this process was given comes last, and holds.
        [...WORKER_FLAGS, ...process.execArgv],
    serialization: "json",
    stdio: ["ignore", "inherit", "inherit", "ipc", "pipe"],
  });
  const child = cluster.fork().process;
  const stream = child.stdio[LINK];
  if (!(stream instanceof Duplex)) {
    child.kill("SIGKILL");
    throw new Error("a worker's process could not be started");
  }
  return {
    pid: child.pid ?? 0,
    stream,
    ended: new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        resolve({ code, signal });
      });
      child.once("error", () => {
        // It could not be started: there is no "exit" then.
        if (child.pid === undefined) resolve({ code: null, signal: null });
      });
    }),
    kill: () => {
      child.kill("SIGKILL");
    },
  };
}
