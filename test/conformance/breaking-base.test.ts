import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { breakingBase } from "../../.config/breaking-base.mjs";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "holdfast-base-"));
  git("init", "-q", "-b", "main");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function git(...args: readonly string[]): string {
  const identity = ["-c", "user.name=a", "-c", "user.email=a@example.test"];
  return execFileSync("git", ["-C", folder, ...identity, ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
}

/** Commits a file, and says which commit that is. */
function commit(file: string, message = "change"): string {
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  writeFileSync(
    path.join(folder, file),
    `${message} ${git("rev-list", "--all", "--count")}`,
  );
  git("add", ".");
  git("commit", "-q", "-m", message);
  return git("rev-parse", "HEAD");
}

test("protos are compared with the last tag", () => {
  const tagged = commit("buf.yaml");
  git("tag", "v1.0.0");
  commit("proto/a.proto");
  commit("proto/a.proto");
  expect(breakingBase(folder)).toMatchObject({
    commit: tagged,
    what: "tag v1.0.0",
    announced: undefined,
  });
});

test("without a tag those of a branch are compared with main where it left it", () => {
  commit("buf.yaml");
  const left = commit("proto/a.proto");
  git("checkout", "-q", "-b", "work");
  commit("proto/a.proto");
  git("checkout", "-q", "main");
  commit("proto/b.proto");
  git("checkout", "-q", "work");
  expect(breakingBase(folder)).toMatchObject({ commit: left });
});

test("those of main without a tag are compared with what they were before they changed last", () => {
  commit("buf.yaml");
  const before = commit("proto/a.proto");
  commit("proto/a.proto");
  commit("other");
  expect(breakingBase(folder)).toMatchObject({ commit: before });
});

test("a break that a commit announces is meant, one announced before the base says nothing of later ones", () => {
  commit("buf.yaml", "begin\n\nBreaks-API: all is new");
  commit("proto/a.proto");
  git("tag", "v1.0.0");
  commit("proto/a.proto");
  expect(breakingBase(folder)).toMatchObject({ announced: undefined });
  commit("proto/a.proto", "rename a field\n\nBreaks-API: nobody used it");
  commit("other");
  expect(breakingBase(folder)).toMatchObject({
    announced: expect.stringContaining("rename a field") as string,
  });
});

test("where there is nothing to compare with it says why", () => {
  expect(breakingBase(folder)).toBe("this is no git checkout");
  commit("proto/a.proto");
  expect(breakingBase(folder)).toMatch(/neither a tag, nor main, nor/);
  commit("proto/a.proto");
  expect(breakingBase(folder)).toMatch(/has no buf\.yaml/);
});
