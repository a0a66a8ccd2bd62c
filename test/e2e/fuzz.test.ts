import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  adminClient,
  exported,
  type AdminClient,
} from "../support/admin-client.ts";
import {
  corpusFile,
  corpusFiles,
  corpusNote,
  hasCorpus,
} from "../support/corpus.ts";
import { startCp } from "../support/holdfast-process.ts";
import { mutated } from "../support/mutate.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { TempDir } from "../support/temp-dir.ts";

const RUNS = 150;
/** Larger files are parsed in a thread that is started for each: they come less often. */
const SMALL = 2_500;
const LARGE_EVERY = 10;

const random = SeededRandom.fromEnvironment();

/** What a file may be refused with: that it is wrong, or that it is too much. */
const REFUSALS = [
  Code.InvalidArgument,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.NotFound,
  Code.ResourceExhausted,
];

async function cursorOf({ config }: AdminClient) {
  const { revisions } = await config.listRevisions({ pageSize: 1 });
  return revisions[0]?.cursor;
}

test.skipIf(!hasCorpus)(
  `mutated files from the wild are applied whole or refused, and the control plane goes on (seed ${random.seed})${corpusNote}`,
  { timeout: 180_000 },
  async () => {
    await using dir = await TempDir.make();
    await using cp = await startCp(dir.join("cp"));
    const client = adminClient(cp.url("admin"));
    const files = corpusFiles().map(corpusFile);
    const small = files.filter(({ content }) => content.length <= SMALL);
    let applied = 0;
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const file = random.pick(run % LARGE_EVERY === 0 ? files : small);
      const content = mutated(file.content, random);
      const prune = random.below(2) === 0;
      const request = {
        files: [{ name: file.name, content }],
        prune,
        allowMassDelete: true,
      };
      const about = `run ${run}, ${file.name}:\n${content.slice(0, 5_000)}`;
      const before = await cursorOf(client);
      try {
        const { revision, changes } = await client.config.apply(request);
        applied += 1;
        const after = await cursorOf(client);
        expect(after?.revision ?? 0n, about).toBe(revision);
        expect(revision, about).toBe(
          (before?.revision ?? 0n) + (changes.length === 0 ? 0n : 1n),
        );
        // All of the file is there: nothing is left to be done.
        const again = await client.config.apply({ ...request, dryRun: true });
        expect(again.changes, about).toEqual([]);
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error;
        refused += 1;
        expect(REFUSALS, `${error.message}: ${about}`).toContain(error.code);
        expect(error.rawMessage.length, about).toBeGreaterThan(0);
        expect(await cursorOf(client), about).toEqual(before);
      }
    }
    expect(applied).toBeGreaterThan(RUNS / 20);
    expect(refused).toBeGreaterThan(RUNS / 20);

    // It is the same process still, and what it has is what it says.
    const resources = await exported(client);
    const cursor = await cursorOf(client);
    expect(await cp.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    await using again = await startCp(dir.join("cp"));
    const other = adminClient(again.url("admin"));
    expect(await cursorOf(other)).toEqual(cursor);
    expect(await exported(other)).toEqual(resources);
  },
);
