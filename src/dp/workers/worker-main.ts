/** What a worker process runs: it is told everything over a pipe by the process that made it. */
import "../../runtime/no-proto.ts";
import cluster from "node:cluster";
import { Socket } from "node:net";
import process from "node:process";
import { Link } from "./link.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { Worker } from "./worker.ts";

/** The descriptor of the pipe, as it is set up by whoever starts this. */
export const LINK_FD = 4;

const DONE = 0;
const FAILED = 1;

let worker: Worker | undefined;

const link = new Link<ToWorker, FromWorker>(
  new Socket({ fd: LINK_FD, readable: true, writable: true }),
  {
    onMessage: (message, bytes) => {
      if (message.type !== "settings") worker?.take(message, bytes);
      else
        Worker.start(message.settings, link).then(
          (started) => {
            worker = started;
          },
          (error: unknown) => {
            const reason =
              error instanceof Error ? error.message : String(error);
            void link
              .send({ type: "failed", reason })
              .then(() => process.exit(FAILED));
          },
        );
      if (message.type === "close") end();
    },
    // Whoever made this process is gone, and a next one may begin on the same port: it is not this process that has it.
    onEnd: () => {
      if (process.connected) process.once("disconnect", end);
      else end();
    },
  },
);

function end(): void {
  void (worker?.close() ?? Promise.resolve()).then(
    () => process.exit(DONE),
    () => process.exit(FAILED),
  );
}

// Else node ends a worker at once when whoever made it is gone: requests under way may end first.
if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;

process.on("uncaughtException", (err) => {
  worker?.logger.error("process.crashed", { err });
  process.exit(FAILED);
});
process.on("SIGTERM", end);
process.on("SIGHUP", () => {
  // The one that made this one passes it on.
});
process.on("SIGINT", () => {
  // Ctrl-C goes to all processes of a terminal; the one that made this one says when it is over.
});
