import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import { expect, onTestFinished, test, vi } from "vitest";
import { FileParser } from "../../../src/cp/admin/parse-files.ts";
import { ManualClock } from "../../support/manual-clock.ts";

vi.setConfig({ testTimeout: 60_000 });

const never = new AbortController().signal;
/** Large enough for a thread. */
const large = (name: string): { name: string; content: string } => ({
  name,
  content: `_format_version: "3.0"\nservices:\n${Array.from({ length: 80 }, (_, i) => `  - name: ${name}${i}\n    host: h.internal\n`).join("")}`,
});

test("a thread gives the same as parsing here", async () => {
  const parser = new FileParser();
  const small = {
    name: "s.yml",
    content:
      '_format_version: "3.0"\nservices:\n  - name: a\n    url: http://h:1/p\n    routes:\n      - paths: [/r]\n',
  };
  const here = await parser.parse([small], {}, never);
  expect(here.problems).toEqual([]);
  expect(here.entities.length).toBe(2);
  const padded = { ...small, content: `${small.content}# ${"-".repeat(4000)}` };
  expect(await parser.parse([padded], {}, never)).toEqual(here);
});

test("problems and warnings come from a thread too", async () => {
  const { name, content } = large("p");
  const parsed = await new FileParser().parse(
    [{ name, content: `${content}    prot: 1\n` }],
    {},
    never,
  );
  expect(parsed.problems).toMatchObject([{ file: "p", line: 163, column: 5 }]);
});

test("one thread runs at a time, and one that nobody waits for is ended", async () => {
  const parser = new FileParser();
  const abort = new AbortController();
  const first = parser.parse([large("a")], {}, abort.signal);
  const second = parser.parse([large("b")], {}, never);
  abort.abort();
  await expect(first).rejects.toThrow();
  expect((await second).entities).toHaveLength(80);
  await expect(
    parser.parse([large("c")], {}, AbortSignal.abort(new Error("gone"))),
  ).rejects.toThrow("gone");
});

test("a thread is kept for the next files, until it has had nothing to do for a while", async () => {
  const threads: Worker[] = [];
  const note = (thread: Worker): void => {
    threads.push(thread);
  };
  process.on("worker", note);
  onTestFinished(() => {
    process.off("worker", note);
  });
  const clock = new ManualClock();
  const parser = new FileParser(clock);
  const ended = async (thread: Worker | undefined): Promise<void> => {
    if (thread === undefined) throw new Error("there is no thread");
    const exit = once(thread, "exit");
    clock.advance(5_000);
    await exit;
  };
  for (const name of ["a", "b"])
    expect(
      (await parser.parse([large(name)], {}, never)).entities,
    ).toHaveLength(80);
  expect(threads).toHaveLength(1);
  await ended(threads[0]);
  expect((await parser.parse([large("c")], {}, never)).entities).toHaveLength(
    80,
  );
  expect(threads).toHaveLength(2);
  await ended(threads[1]);
});
