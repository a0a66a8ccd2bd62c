import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Files that run for half a minute and more, so that no such file is begun when the others have ended and a core has nothing
 * to do. Which one is missing here costs time and nothing else.
 */
const LONGEST = [
  "test/e2e/kill-cp.test.ts",
  "test/e2e/kill-dp.test.ts",
  "test/e2e/mutual-tls.test.ts",
  "test/e2e/corpus.test.ts",
  "test/e2e/crash-guard.test.ts",
  "test/e2e/workers.test.ts",
  "test/e2e/fallback.test.ts",
  "test/e2e/clients.test.ts",
  "test/e2e/full-sync.test.ts",
  "test/e2e/restore.test.ts",
  "test/e2e/outage.test.ts",
  "test/e2e/ways-in.test.ts",
  "test/dp/workers/worker-group.test.ts",
  "test/cli/declarative.test.ts",
];

/** The order of files within a group of projects. */
export class LongestFirst extends BaseSequencer {
  override async sort(
    files: TestSpecification[],
  ): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => groupOf(a) - groupOf(b) || rank(a) - rank(b));
  }
}

function groupOf({ project }: TestSpecification): number {
  return project.config.sequence.groupOrder;
}

function rank({ moduleId }: TestSpecification): number {
  const place = LONGEST.findIndex((file) => moduleId.endsWith(`/${file}`));
  return place === -1 ? LONGEST.length : place;
}
