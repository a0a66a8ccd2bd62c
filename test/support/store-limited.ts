/**
 * A process that commits to a LevelStore until a write fails, says so, waits for a line, and goes on:
 * `node store-limited.ts DIRECTORY`. Whoever starts it limits the size of its files.
 */
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { ConfigError } from "../../src/model/violation.ts";
import { commitOf } from "./commit-of.ts";
import { id } from "./resources.ts";

const [, , directory = ""] = process.argv;
const say = (...words: readonly unknown[]): void => {
  process.stdout.write(`${words.join(" ")}\n`);
};
const store = await LevelStore.open({ directory });
let state = await store.load("default");
const next = (): ReturnType<typeof commitOf> =>
  commitOf(state, [
    {
      key: `route/${id(Number(state.cursor.revision))}`,
      after: Buffer.alloc(20_000, 1),
    },
  ]);
for (let failed = false; !failed;) {
  const step = next();
  try {
    await store.commit("default", [step.commit]);
    state = step.next;
  } catch (error) {
    failed = true;
    say("failed", error instanceof ConfigError ? error.code : String(error));
  }
}
say("known", state.cursor.revision);
await new Promise((resolve) => process.stdin.once("data", resolve));
// What failed may be there all the same; then it is the head.
for await (const record of store.records(
  "default",
  state.cursor.revision + 1n,
  1n << 40n,
))
  state = commitOf(state, record.changes).next;
const step = next();
await store.commit("default", [step.commit]);
say("committed", step.next.cursor.revision, step.next.cursor.root);
process.stdin.destroy();
await store.close();
