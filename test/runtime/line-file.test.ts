import { execFileSync } from "node:child_process";
import { open, readFile, rename, stat } from "node:fs/promises";
import { constants } from "node:fs";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { LineFile } from "../../src/runtime/line-file.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { RecordingLogger } from "../support/recording-logger.ts";
import { TempDir } from "../support/temp-dir.ts";

interface Setup {
  readonly dropped: { count: number };
  readonly logger: RecordingLogger;
}

function options(maxWaiting?: number) {
  const setup: Setup = { dropped: { count: 0 }, logger: new RecordingLogger() };
  return {
    ...setup,
    clock: systemClock,
    name: "lines",
    onDrop: () => {
      setup.dropped.count++;
    },
    ...(maxWaiting === undefined ? {} : { maxWaiting }),
  };
}

describe("a file of lines", () => {
  test("has every line, whole and in order, when it is closed", async () => {
    await using dir = await TempDir.make();
    const path = dir.join("log");
    const setup = options();
    const file = await LineFile.open({ path }, setup);
    const written = Array.from({ length: 5000 }, (_, i) => `line ${i} é\n`);
    for (const line of written) file.write(line);
    await file[Symbol.asyncDispose]();
    expect(await readFile(path, "utf8")).toBe(written.join(""));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(setup.dropped.count).toBe(0);
  });

  test("follows a file that was moved away without being asked", async () => {
    await using dir = await TempDir.make();
    const path = dir.join("log");
    const clock = new ManualClock();
    const file = await LineFile.open({ path }, { ...options(), clock });
    const wrote = async (line: string, where: string): Promise<void> => {
      file.write(`${line}\n`);
      await eventually(async () => {
        clock.advance(100);
        const text = await readFile(where, "utf8").catch(() => "");
        return text.includes(line) ? true : undefined;
      }, line);
    };
    await wrote("first", path);
    await rename(path, `${path}.1`);
    clock.advance(5000);
    await wrote("second", path);
    expect(await readFile(`${path}.1`, "utf8")).toBe("first\n");
    await file[Symbol.asyncDispose]();
  });

  test("drops and counts what a pipe that nobody reads cannot take, and goes on when somebody does", async () => {
    await using dir = await TempDir.make();
    const path = dir.join("pipe");
    execFileSync("mkfifo", [path]);
    const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const pipe = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    const setup = options(100_000);
    const file = await LineFile.open({ fd: pipe.fd }, setup);
    const line = `${"x".repeat(999)}\n`;
    for (let i = 0; i < 500; i++) file.write(line);
    expect(setup.dropped.count).toBe(400);
    let read = 0;
    await eventually(async () => {
      const { bytesRead } = await reader
        .read(Buffer.alloc(65_536))
        .catch(() => ({ bytesRead: 0 }));
      read += bytesRead;
      return read === 100_000 ? true : undefined;
    }, "what was not dropped");
    file.write("last\n");
    await eventually(async () => {
      const { buffer, bytesRead } = await reader
        .read(Buffer.alloc(100))
        .catch(() => ({ buffer: Buffer.alloc(0), bytesRead: 0 }));
      return buffer.toString("utf8", 0, bytesRead) === "last\n"
        ? true
        : undefined;
    }, "the line after it");
    expect(setup.logger.last("lines.recovered")?.fields).toEqual({
      dropped: 400,
    });
    await file[Symbol.asyncDispose]();
    await pipe.close();
    await reader.close();
  });

  test("says once that a disk is full, keeps what it can and counts the rest", async () => {
    const setup = options(10);
    const file = await LineFile.open({ path: "/dev/full" }, setup);
    file.write("12345\n");
    await eventually(
      () => setup.logger.last("lines.failing"),
      "word of the failure",
    );
    for (let i = 0; i < 5; i++) file.write("12345\n");
    expect(setup.dropped.count).toBe(4);
    await file[Symbol.asyncDispose]();
    expect(
      setup.logger.events.filter((event) => event === "lines.failing"),
    ).toHaveLength(1);
  });
});
