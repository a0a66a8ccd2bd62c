import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { systemClock } from "../../runtime/clock.ts";
import { Failure, type Output, type Program } from "../io.ts";
import type { Env } from "../parse-flags.ts";

const READY_DEADLINE_MS = 60_000;
const KILL_AFTER_MS = 10_000;

/** How a child ended. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What is started, and what it is called. */
export interface ChildOptions {
  /** For people: `control plane`. */
  readonly title: string;
  readonly program: Program;
  /** The command and its flags. */
  readonly argv: readonly string[];
  readonly env: Env;
  /** Where its log lines go. */
  readonly log: Output;
  readonly signal: AbortSignal;
  /** How long it may take to end before it is killed. Default 10 s. */
  readonly killAfterMs?: number;
}

/** A command of this program in a process of its own, which has said that it serves. */
export class Child {
  readonly title: string;
  readonly argv: readonly string[];
  readonly pid: number;
  /** What it said about itself. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly ended: Promise<ChildEnd>;
  readonly #process: ChildProcess;
  readonly #killAfterMs: number;

  private constructor(
    options: ChildOptions,
    process: ChildProcess,
    ready: Readonly<Record<string, unknown>>,
    ended: Promise<ChildEnd>,
  ) {
    this.title = options.title;
    this.argv = options.argv;
    this.pid = process.pid ?? 0;
    this.ready = ready;
    this.ended = ended;
    this.#process = process;
    this.#killAfterMs = killAfterMsOf(options);
  }

  /** Starts it and waits until it serves. Fails, with nothing left running, when it ends or takes too long instead. */
  static async start(options: ChildOptions): Promise<Child> {
    const { program, title } = options;
    options.signal.throwIfAborted();
    const process = spawn(
      program.execPath,
      [...program.args, ...options.argv],
      {
        // Its own settings come as flags: a --config of this process is not the child's.
        env: withoutHoldfast(options.env),
        // The channel ends with this process, and the child with the channel.
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      },
    );
    const ended = endOf(process);
    relay(process, options);
    const giveUp = AbortSignal.any([
      options.signal,
      AbortSignal.timeout(READY_DEADLINE_MS),
    ]);
    const first = await Promise.race([
      readyLine(process, giveUp),
      ended.then((end) => ({ end })),
    ]).catch((error: unknown) => ({ error }));
    if ("ready" in first)
      return new Child(options, process, first.ready, ended);
    if ("end" in first)
      throw new Failure(
        `the ${title} ${describeEnd(first.end)} before it was ready; why stands above`,
      );
    await end(process, ended, killAfterMsOf(options));
    if (options.signal.aborted) throw new Failure("interrupted");
    throw new Failure(
      `the ${title} was not ready within ${READY_DEADLINE_MS / 1000} s`,
      { cause: first.error },
    );
  }

  /** Ends it, by force when it takes too long. */
  async stop(): Promise<void> {
    await end(this.#process, this.ended, this.#killAfterMs);
  }
}

/** `was killed by SIGKILL` or `ended with 1`. */
export function describeEnd({ code, signal }: ChildEnd): string {
  return signal === null
    ? `ended with ${code ?? "an unknown code"}`
    : `was killed by ${signal}`;
}

function killAfterMsOf({ killAfterMs = KILL_AFTER_MS }: ChildOptions): number {
  return killAfterMs;
}

async function endOf(process: ChildProcess): Promise<ChildEnd> {
  try {
    await once(process, "exit");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`cannot start ${process.spawnfile}: ${why}`, {
      cause: error,
    });
  }
  return { code: process.exitCode, signal: process.signalCode };
}

async function end(
  process: ChildProcess,
  ended: Promise<ChildEnd>,
  killAfterMs: number,
): Promise<void> {
  process.kill("SIGTERM");
  const kill = systemClock.setTimer(killAfterMs, () => {
    process.kill("SIGKILL");
  });
  await ended;
  kill.cancel();
}

async function readyLine(
  process: ChildProcess,
  signal: AbortSignal,
): Promise<{ ready: Readonly<Record<string, unknown>> }> {
  if (process.stdout === null) throw new TypeError("stdout is not a pipe");
  const lines = createInterface({ input: process.stdout, signal });
  const line: unknown = (
    (await once(lines, "line", { signal })) as unknown[]
  )[0];
  const ready: unknown = JSON.parse(String(line));
  if (typeof ready !== "object" || ready === null)
    throw new Failure(
      `its first line is not what was expected: ${String(line)}`,
    );
  return { ready: { ...ready } };
}

/** Passes on what a child logs, each line marked with whose it is. */
function relay(process: ChildProcess, { argv, log }: ChildOptions): void {
  if (process.stderr === null) return;
  const lines = createInterface({ input: process.stderr });
  lines.on("line", (line) => {
    log.write(`${argv[0] ?? ""} | ${line}\n`);
  });
}

function withoutHoldfast(env: Env): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith("HOLDFAST_")),
  );
}
