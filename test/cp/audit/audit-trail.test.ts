import {
  appendFile,
  open as openFile,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from "node:fs/promises";
import path from "node:path";
import { expect, test, vi } from "vitest";
import {
  AuditTrail,
  type AuditTrailOptions,
} from "../../../src/cp/audit/audit-trail.ts";
import type { AuditedCall, AuditRecord } from "../../../src/cp/audit/record.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const all = { before: undefined, limit: 1000, matches: () => true };

function openTrail(
  directory: string,
  options: Partial<AuditTrailOptions> = {},
): Promise<AuditTrail> {
  return AuditTrail.open({
    directory,
    clock: new ManualClock(),
    logger: new RecordingLogger(),
    ...options,
  });
}

function call(caller: string): AuditedCall {
  return {
    timeMs: Date.UTC(2030, 0, 1),
    caller,
    from: "127.0.0.1",
    method: "holdfast.admin.v1.ConfigService/Put",
    workspace: "default",
    resources: [{ kind: "service", id: "", name: "pay", action: "" }],
    resourceCount: 1,
    dryRun: false,
  };
}

function done(caller: string, result = "ok"): AuditRecord {
  return { ...call(caller), revision: 7, result, reason: "", omitted: 0 };
}

const callersOf = async (trail: AuditTrail, query = all) =>
  (await trail.list(query)).records.map(({ caller }) => caller);

test("keeps records over a restart, newest first, with all that was written down", async () => {
  const directory = await temporaryDirectory();
  const first = await openTrail(directory);
  await first.end(await first.begin(call("ann")), done("ann"));
  await first.add(done("bob", "permission_denied"));
  await first[Symbol.asyncDispose]();

  const second = await openTrail(directory);
  const { records } = await second.list(all);
  expect(records.map(({ caller, result }) => [caller, result])).toEqual([
    ["bob", "permission_denied"],
    ["ann", "ok"],
  ]);
  expect(records[1]).toMatchObject(done("ann"));
  await second.add(done("cyn"));
  expect(await callersOf(second)).toEqual(["cyn", "bob", "ann"]);
  await second[Symbol.asyncDispose]();
});

test("a call that a kill left without result is found at the next start, once", async () => {
  const directory = await temporaryDirectory();
  const killed = await openTrail(directory);
  await killed.begin(call("ann"));
  await killed.end(await killed.begin(call("bob")), done("bob"));
  // As a kill leaves it: without another word. The last line may be torn.
  const [file = ""] = await readdir(directory);
  await appendFile(path.join(directory, file), '{"sequence":9,"cal');

  const next = await openTrail(directory);
  const { records } = await next.list(all);
  expect(records.map(({ caller, result }) => [caller, result])).toEqual([
    ["ann", "unknown"],
    ["bob", "ok"],
  ]);
  await next[Symbol.asyncDispose]();
  const again = await openTrail(directory);
  expect(await callersOf(again)).toEqual(["ann", "bob"]);
  await again[Symbol.asyncDispose]();
  await killed[Symbol.asyncDispose]();
});

test("is bounded, pages through what there is, and still knows what is open", async () => {
  const directory = await temporaryDirectory();
  const limits = { segmentBytes: 1_000, segments: 3 };
  const trail = await openTrail(directory, { limits });
  const open = await trail.begin(call("slow"));
  for (let i = 0; i < 40; i++) await trail.add(done(`c${i}`));
  expect(await readdir(directory)).toHaveLength(3);
  const whole = await callersOf(trail);
  expect(whole[0]).toBe("c39");
  expect(whole.length).toBeLessThan(20);

  const paged: string[] = [];
  let before: number | undefined;
  do {
    const page = await trail.list({ ...all, limit: 2, before });
    paged.push(...page.records.map(({ caller }) => caller));
    before = page.next;
    // What is written meanwhile is before the first page.
    await trail.add(done("new"));
  } while (before !== undefined && paged.length < 50);
  expect(whole.slice(0, 5)).toEqual(paged.slice(0, 5));
  expect(new Set(paged).size).toBe(paged.length);

  await trail[Symbol.asyncDispose]();
  const next = await openTrail(directory, { limits });
  expect((await next.list(all)).records[0]).toMatchObject({
    caller: "slow",
    result: "unknown",
  });
  expect(open).toBeGreaterThan(0);
  await next[Symbol.asyncDispose]();
});

test("finds what is looked for, page by page", async () => {
  const trail = await openTrail(await temporaryDirectory(), {
    limits: { segmentBytes: 600, segments: 64 },
  });
  for (let i = 0; i < 30; i++) await trail.add(done(i % 10 === 0 ? "x" : "y"));
  let found = 0;
  let pages = 0;
  let before: number | undefined;
  do {
    const page = await trail.list({
      before,
      limit: 1,
      matches: ({ caller }) => caller === "x",
    });
    found += page.records.length;
    before = page.next;
    pages++;
  } while (before !== undefined);
  expect(found).toBe(3);
  expect(pages).toBeLessThan(10);
  await trail[Symbol.asyncDispose]();
});

test("names make no lines of their own, and files are their owner's", async () => {
  const directory = await temporaryDirectory();
  const lines: string[] = [];
  const trail = await openTrail(directory, {
    onRecord: (line) => lines.push(line),
  });
  await trail.add(done('x\n{"sequence":1,"result":"ok"}\u2028'));
  const [file = ""] = await readdir(directory);
  const content = await readFile(path.join(directory, file), "utf8");
  expect(content.trimEnd().split("\n")).toHaveLength(1);
  expect(lines).toEqual([content]);
  expect((await stat(path.join(directory, file))).mode & 0o777).toBe(0o600);
  await trail[Symbol.asyncDispose]();
});

test("a call that cannot be written down is not begun, and one that ended is no failure", async () => {
  const directory = await temporaryDirectory();
  const logger = new RecordingLogger();
  const trail = await openTrail(directory, {
    logger,
    limits: { segmentBytes: 1 },
  });
  const begun = await trail.begin(call("ann"));
  // The next file cannot be made.
  await rm(directory, { recursive: true });
  await expect(trail.begin(call("bob"))).rejects.toThrow(/ENOENT/);
  await trail.end(begun, done("ann"));
  expect(logger.events).toContain("audit.failing");
  await trail[Symbol.asyncDispose]();
});

test("a full disk leaves no files and no handles behind, and pushes nothing out", async () => {
  const directory = await temporaryDirectory();
  const limits = { segmentBytes: 1, segments: 3 };
  const trail = await openTrail(directory, { limits });
  await trail.add(done("ann"));
  const files = await readdir(directory);
  const some = await openFile(directory, "r");
  await some.close();
  const tried: FileHandle[] = [];
  const full = vi
    .spyOn(Object.getPrototypeOf(some) as FileHandle, "appendFile")
    .mockImplementation(function (this: FileHandle) {
      tried.push(this);
      return Promise.reject(new Error("ENOSPC"));
    });
  try {
    for (let i = 0; i < 10; i++)
      await expect(trail.begin(call("bob"))).rejects.toThrow(/ENOSPC/);
  } finally {
    full.mockRestore();
  }
  // As one that is closed says.
  expect(tried.map(({ fd }) => fd)).toEqual(Array(10).fill(-1));
  expect(await readdir(directory)).toEqual(files);
  await trail.add(done("cyn"));
  expect(await callersOf(trail)).toEqual(["cyn", "ann"]);
  await trail[Symbol.asyncDispose]();
});

test("empty files are no part of it, nor hide what is open", async () => {
  const directory = await temporaryDirectory();
  const killed = await openTrail(directory);
  await killed.begin(call("ann"));
  for (const sequence of [5, 6, 7])
    await writeFile(
      path.join(directory, `audit-${String(sequence).padStart(16, "0")}.jsonl`),
      "",
    );
  const next = await openTrail(directory);
  expect(await readdir(directory)).toHaveLength(1);
  expect((await next.list(all)).records).toMatchObject([
    { caller: "ann", result: "unknown" },
  ]);
  await next[Symbol.asyncDispose]();
  await killed[Symbol.asyncDispose]();
});
