import path from "node:path";
import { expect, test } from "vitest";
import { Snapshot } from "../../../src/model/snapshot.ts";
import { copyFiles, cutLog, cuts, lastLog } from "../../support/level-files.ts";
import { service } from "../../support/link-harness.ts";
import { openWorkspaces } from "../../support/open-workspaces.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const random = SeededRandom.fromEnvironment();
const RESOURCES = 1_200;

test(`a crash amid creating, copying or deleting leaves whole workspaces or none (seed ${random.seed})`, async () => {
  const run = await openWorkspaces();
  const { workspaces, directory, close } = run;
  const { catalog } = workspaces.get("default");
  await catalog.transact(
    Array.from({ length: RESOURCES }, (_, i) => ({
      type: "put" as const,
      resource: service(`s${i}`),
    })),
  );
  await workspaces.create("made");
  await workspaces.copy("default", "copied", { author: "", message: "" });
  const removedFrom = (await lastLog(directory)).length;
  // Only when it is created again all of it is gone: in several steps, since it has so much.
  await workspaces.delete("copied", { force: true });
  await workspaces.create("copied");
  const removedTo = (await lastLog(directory)).length;
  await close();

  const { length } = await lastLog(directory);
  const root = Snapshot.ofBuckets("copied", [
    ...catalog.head.snapshot.buckets(),
  ]).root;
  const empty = Snapshot.empty("copied").root;
  const outcomes: { readonly cut: number; readonly found: string }[] = [];
  const amidDeletion = Array.from(
    { length: 5 },
    () => removedFrom + random.below(removedTo - removedFrom),
  );
  for (const cut of [...cuts(length, 4, random), ...amidDeletion]) {
    const to = path.join(await temporaryDirectory(), "store");
    await copyFiles(directory, to, random);
    await cutLog(to, cut);
    const again = await openWorkspaces({ directory: to });
    // Those that are there are whole: their roots were proved, or they would be called unavailable.
    const found = again.workspaces.list().map(({ name }) => {
      const { cursor } = again.workspaces.get(name).catalog.head;
      if (name === "copied") {
        expect([root, empty]).toContain(cursor.root);
        expect(cursor.revision).toBe(cursor.root === root ? 1n : 0n);
        return cursor.root === root ? "copied" : "copied anew";
      }
      return name;
    });
    // What was left of the deletion stands in nobody's way.
    if (!found.some((name) => name.startsWith("copied")))
      await again.workspaces.create("copied");
    await again.close();
    outcomes.push({ cut, found: found.join(", ") });
  }
  const inOrder = outcomes
    .sort((a, b) => a.cut - b.cut)
    .map(({ found }) => found);
  expect(inOrder.at(-1)).toBe("copied anew, default, made");
  expect(new Set(inOrder).size).toBeGreaterThan(2);
});
