import { Readable } from "node:stream";
import { COMMANDS } from "../../src/cli/commands.ts";
import type { Io } from "../../src/cli/io.ts";
import type { Env } from "../../src/cli/parse-flags.ts";
import { run } from "../../src/cli/run.ts";

/** A command that runs in this process as if in one of its own. */
export interface CliRun {
  /** What it ends with. */
  readonly ended: Promise<number>;
  stdout(): string;
  stderr(): string;
  /** Asks it to end, as Ctrl-C does. */
  stop(): void;
  /** Resolves when standard output or error matches. */
  until(pattern: RegExp): Promise<void>;
}

/** What surrounds the command. */
export interface CliOptions {
  readonly env?: Env;
  /** What it can read, at once or piece by piece. Default: nothing. */
  readonly stdin?: string | AsyncIterable<Buffer>;
  /** Whether a person sits there. Default: false. */
  readonly terminal?: boolean;
  /** The width of the terminal. Default: 80. */
  readonly columns?: number;
}

/** Starts a command. */
export function startCli(
  argv: readonly string[],
  options: CliOptions = {},
): CliRun {
  const stdout = new Collector(options);
  const stderr = new Collector(options);
  const controller = new AbortController();
  const stdin = Readable.from(
    typeof options.stdin === "string"
      ? [Buffer.from(options.stdin)]
      : (options.stdin ?? []),
  );
  const io: Io = {
    stdin: Object.assign(stdin, { isTTY: options.terminal ?? false }),
    stdout,
    stderr,
    program: { execPath: process.execPath, args: ["holdfast"] },
    stop: controller.signal,
  };
  return {
    ended: run(COMMANDS, argv, options.env ?? {}, io),
    stdout: () => stdout.text,
    stderr: () => stderr.text,
    stop: () => controller.abort(),
    until: (pattern) =>
      Promise.race([stdout.until(pattern), stderr.until(pattern)]),
  };
}

/** Runs a command to its end. */
export async function runCli(
  argv: readonly string[],
  options: CliOptions = {},
): Promise<{
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}> {
  const cli = startCli(argv, options);
  const code = await cli.ended;
  return { code, stdout: cli.stdout(), stderr: cli.stderr() };
}

/** Keeps what is written and tells who waits for it. */
class Collector {
  readonly isTTY: boolean;
  readonly columns?: number;
  text = "";
  #waiting: (() => void)[] = [];

  constructor({ terminal = false, columns = 80 }: CliOptions) {
    this.isTTY = terminal;
    if (terminal) this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
    for (const look of this.#waiting) look();
  }

  until(pattern: RegExp): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (pattern.test(this.text)) resolve();
      };
      this.#waiting.push(look);
      look();
    });
  }
}
