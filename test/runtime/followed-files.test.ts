import { readFile, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { FollowedFiles } from "../../src/runtime/followed-files.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { TempDir } from "../support/temp-dir.ts";

let stack: CloseStack;
let file: string;
let clock: ManualClock;
let checked: string[];
beforeEach(async () => {
  stack = new CloseStack();
  file = stack.use(await TempDir.make()).join("numbers");
  clock = new ManualClock();
  checked = [];
  await writeFile(file, "1");
});
afterEach(() => stack.close());

async function open() {
  return stack.use(
    await FollowedFiles.open({
      read: async () => ({ digest: await readFile(file, "utf8") }),
      check: ({ digest }) => {
        checked.push(digest);
        if (!/^\d+$/.test(digest)) throw new Error(`${digest} is no number`);
        return Number(digest);
      },
      clock,
      pollMs: 1_000,
    }),
  );
}

/** Follows, and writes down what is heard; numbers from ten on are too large to be taken up. */
function hearing(files: Awaited<ReturnType<typeof open>>): string[] {
  const heard: string[] = [];
  files.follow({
    onChange: (next, before) => {
      if (next >= 10) throw new Error(`${next} is too large`);
      heard.push(`${before} -> ${next}`);
    },
    onUnusable: (reason) => heard.push(reason),
    onLook: () => heard.push("looked"),
  });
  return heard;
}

test("what cannot be used at first is thrown", async () => {
  await writeFile(file, "x");
  await expect(open()).rejects.toThrow("x is no number");
});

test("takes up what changes, checks nothing twice, and tells a state that cannot be used once", async () => {
  const files = await open();
  const heard = hearing(files);
  const look = async (content: string): Promise<readonly string[]> => {
    await writeFile(file, content);
    await files.reload();
    return heard.splice(0);
  };
  expect(await look("1")).toEqual(["looked"]);
  expect(await look("2")).toEqual(["1 -> 2", "looked"]);
  expect(await look("x")).toEqual(["x is no number", "looked"]);
  expect(await look("x")).toEqual(["looked"]);
  expect(files.current).toBe(2);
  expect(await look("10")).toEqual(["10 is too large", "looked"]);
  expect(files.current).toBe(2);
  expect(await look("2")).toEqual(["looked"]);
  expect(await look("10")).toEqual(["10 is too large", "looked"]);
  expect(await look("3")).toEqual(["2 -> 3", "looked"]);
  expect(checked).toEqual(["1", "2", "x", "10", "10", "3"]);
});

test("looks by itself until it is closed, and concurrent looks are one", async () => {
  const files = await open();
  const heard = hearing(files);
  await writeFile(file, "2");
  clock.advance(1_000);
  await Promise.all([files.reload(), files.reload()]);
  expect(heard).toEqual(["1 -> 2", "looked"]);
  await files[Symbol.asyncDispose]();
  expect(clock.timers).toBe(0);
});
