import { writeSync } from "node:fs";
import type {
  Reporter,
  SerializedError,
  TestCase,
  TestModule,
  Vitest,
} from "vitest/node";

/**
 * Ends a run with one plain line any script can read:
 *
 *     tests: 14 passed, 0 failed, 2 skipped
 *
 * Before it stand the skipped tests with their reasons. A failure outside a test (a file that cannot be imported, a failing
 * hook, an unhandled error) counts as failed, and a run that found no test fails.
 */
export default class TotalsReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped: string[] = [];
  #selected = false;

  onInit(vitest: Vitest): void {
    this.#selected = vitest.config.testNamePattern !== undefined;
    // Other reporters, the coverage and vitest's own complaints print until the very end.
    process.once("exit", (code) => {
      this.#print(code);
    });
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
  ): void {
    this.#passed = 0;
    this.#failed = unhandledErrors.length;
    this.#skipped = [];
    for (const module of modules) {
      this.#failed += module.errors().length;
      for (const suite of module.children.allSuites()) {
        this.#failed += suite.errors().length;
      }
      for (const test of module.children.allTests()) this.#count(test);
    }
  }

  #count(test: TestCase): void {
    const result = test.result();
    switch (result.state) {
      case "passed":
        this.#passed += 1;
        break;
      case "skipped":
        this.#skipped.push(
          `${test.module.relativeModuleId} > ${test.fullName}: ${result.note ?? "no reason given"}`,
        );
        break;
      case "failed":
      case "pending": // started and never finished
        this.#failed += 1;
        break;
      default:
        result satisfies never;
    }
  }

  #print(code: number): void {
    const found = this.#passed + this.#failed + this.#skipped.length;
    const failed = code !== 0 || found === 0;
    if (failed && code === 0) process.exitCode = 1;
    // A run can fail without an error here: a broken global setup, no test found.
    if (failed && this.#failed === 0) this.#failed = 1;

    const lines = [
      // With -t everything else counts as skipped: naming it all says nothing.
      ...(this.#selected
        ? []
        : this.#skipped.map((name) => `skipped: ${name}`)),
      `tests: ${this.#passed} passed, ${this.#failed} failed, ${this.#skipped.length} skipped`,
    ];
    writeSync(1, `${lines.join("\n")}\n`);
  }
}
