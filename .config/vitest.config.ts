import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));

const conformance = "test/conformance/**/*.test.ts";
const e2e = "test/e2e/**/*.test.ts";
const simulation = "test/sync/simulation/**/*.test.ts";

export default defineConfig({
  root,
  test: {
    root,
    pool: "forks",
    maxWorkers: 2,
    setupFiles: ["test/support/seed-properties.ts"],
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
          exclude: [conformance, e2e, simulation],
          // Against hanging, not against slowness: property tests take their time on a busy machine.
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
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "conformance",
          include: [conformance],
          testTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: [e2e],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Real processes with real deadlines: they run when nothing else does.
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
