import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./longest-first.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const conformance = "test/conformance/**/*.test.ts";
const e2e = "test/e2e/**/*.test.ts";
const simulation = "test/sync/simulation/**/*.test.ts";
const model = "test/model/**/*.test.ts";

export default defineConfig({
  root,
  test: {
    root,
    pool: "forks",
    maxWorkers: 2,
    setupFiles: ["test/support/seed-properties.ts"],
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./.config/totals-reporter.ts"],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/gen/**"],
      reporter: ["text-summary", "html", "json-summary"],
    },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          // Whatever is not one of the others, so that no test file can be overlooked.
          include: ["test/**/*.test.ts"],
          exclude: [conformance, e2e, simulation, model],
          // Against hanging, not against slowness: property tests take their time on a busy machine.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "model",
          include: [model],
          // Pure, so no file can leave anything behind; and loading what is tested takes longer than most of the tests: a
          // process keeps it for the next file. Elsewhere there is state of a process, such as its umask.
          isolate: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "simulation",
          include: [simulation],
          // Against hanging, as above.
          testTimeout: 300_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "conformance",
          include: [conformance],
          testTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: [e2e],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Real processes with real deadlines: they run when nothing else does. They wait more than they compute.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
