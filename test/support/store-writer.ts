/**
 * A process that writes revisions into a LevelStore until it is killed. It prints each revision once it is durable:
 * `node store-writer.ts DIRECTORY`.
 */
import { LevelStore } from "../../src/cp/store/level-store.ts";
import type { StoredChange } from "../../src/cp/store/store.ts";
import { id } from "./resources.ts";
import { commitOf } from "./commit-of.ts";

const [, , directory = ""] = process.argv;
const store = await LevelStore.open({ directory });
let state = await store.load("default");
for (;;) {
  const revision = state.cursor.revision + 1n;
  // Every revision changes the same three entries to its own number: half of one would show.
  const changes = [1, 2, 3].map((n): StoredChange => {
    const key = `route/${id(n)}`;
    const before = state.snapshot.get(key);
    return {
      key,
      ...(before === undefined ? {} : { before }),
      after: Buffer.from(`${revision} ${"x".repeat(2000)}`),
    };
  });
  const { commit, next } = commitOf(state, changes);
  await store.commit("default", [commit]);
  state = next;
  process.stdout.write(`${revision}\n`);
}
