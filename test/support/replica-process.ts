/**
 * A process with a replica: `node replica-process.ts hold|write|limited DIRECTORY`.
 *
 * hold: opens it, says "held", what was loaded and what is wrong with the disk, or "refused" and why, and keeps it until
 * its standard input ends.
 * write: stores states without end and prints the revision of each once it is durable.
 * limited: stores states until one fails, says so, waits for a line, and stores one more. Whoever starts it limits the
 * size of its files.
 */
import { once } from "node:events";
import { ReplicaStore } from "../../src/dp/replica/replica-store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { filled } from "./states.ts";

const [, , mode = "", dataDir = ""] = process.argv;
const say = (...words: readonly unknown[]): void => {
  process.stdout.write(`${words.join(" ")}\n`);
};
const store = await ReplicaStore.open({
  dataDir,
  workspace: "default",
  clock: systemClock,
  logger: silentLogger,
}).catch((error: unknown) => {
  say("refused", String(error).replace(":", ""));
  process.exit(1);
});
let revision = store.loaded?.cursor.revision ?? 0n;

switch (mode) {
  case "hold":
    say(
      "held",
      revision,
      store.loaded?.source ?? "nothing",
      store.trouble?.reason ?? "writable",
    );
    process.stdin.resume();
    await once(process.stdin, "end");
    break;
  case "write":
    // Every state has all entries with its own number, and another count of them: half of one would show.
    for (;;) {
      revision++;
      await store.persist(filled(revision, 10 + Number(revision % 7n), 3000));
      say(revision);
    }
  case "limited": {
    for (let failed = false; !failed;) {
      try {
        await store.persist(filled(revision + 1n, 20, 2000));
        revision++;
      } catch (error) {
        failed = true;
        say("failed", error instanceof Error ? error.message : String(error));
      }
    }
    say("durable", revision);
    await once(process.stdin, "data");
    const next = filled(revision + 2n, 7, 2000);
    await store.persist(next);
    say("stored", next.cursor.revision, next.cursor.root);
    // As in a crash: what was said to be durable must not need a clean end.
    process.kill(process.pid, "SIGKILL");
    break;
  }
  default:
    throw new TypeError(`there is no mode "${mode}"`);
}
await store[Symbol.asyncDispose]();
