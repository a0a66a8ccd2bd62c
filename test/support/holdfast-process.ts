import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";

/** The command as it is built. `npm test` builds it first. */
export const HOLDFAST = fileURLToPath(
  new URL("../../dist/cli/main.js", import.meta.url),
);

const READY_MS = 30_000;
const EXIT_MS = 15_000;

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What a command printed, and how it ended. */
export interface Output extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of holdfast to its end. */
export function holdfast(...argv: readonly string[]): Promise<Output> {
  return runProgram(process.execPath, [HOLDFAST, ...argv]);
}

/** Runs a program to its end. */
export async function runProgram(
  program: string,
  argv: readonly string[],
  input?: string,
): Promise<Output> {
  const child = spawn(program, argv, {
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    env: cleanEnvironment(),
  });
  child.stdin?.end(input);
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (part: string) => {
    stdout += part;
  });
  child.stderr?.setEncoding("utf8").on("data", (part: string) => {
    stderr += part;
  });
  const [code, signal] = (await once(child, "close")) as [
    number | null,
    NodeJS.Signals | null,
  ];
  return { code, signal, stdout, stderr };
}

/** A long-lived holdfast process that says on standard output when it serves. */
export class HoldfastProcess implements AsyncDisposable {
  readonly pid: number;
  /** Its line on standard output: addresses by name. */
  readonly ready: Readonly<Record<string, string>>;
  /** The lines on standard output behind that one, so far. */
  readonly output: readonly string[];
  readonly #child: ChildProcess;
  readonly #log: string[];
  readonly #exit: Promise<Exit>;

  private constructor(
    child: ChildProcess,
    pid: number,
    ready: Readonly<Record<string, string>>,
    lines: { readonly log: string[]; readonly output: readonly string[] },
    exit: Promise<Exit>,
  ) {
    this.#child = child;
    this.pid = pid;
    this.ready = ready;
    this.output = lines.output;
    this.#log = lines.log;
    this.#exit = exit;
  }

  static start(...argv: readonly string[]): Promise<HoldfastProcess> {
    return HoldfastProcess.startIn(undefined, ...argv);
  }

  /** Starts one that has this working directory. */
  static async startIn(
    directory: string | undefined,
    ...argv: readonly string[]
  ): Promise<HoldfastProcess> {
    if (!existsSync(HOLDFAST))
      throw new Error("holdfast is not built: npm run build");
    const child = spawn(process.execPath, [HOLDFAST, ...argv], {
      stdio: ["ignore", "pipe", "pipe"],
      env: cleanEnvironment(),
      cwd: directory,
    });
    const exit = once(child, "close").then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    }));
    const log: string[] = [];
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
    });
    const lines = createInterface({ input: child.stdout });
    const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS);
    const first = await Promise.race([
      once(lines, "line").then(([line]) => String(line)),
      exit,
    ]);
    clearTimeout(timer);
    if (typeof first !== "string" || child.pid === undefined)
      throw new Error(
        `holdfast ${argv.join(" ")} ended with ${JSON.stringify(first)} before it was ready:\n${log.join("\n")}`,
      );
    const ready = JSON.parse(first) as Record<string, string>;
    const output: string[] = [];
    lines.on("line", (line) => {
      output.push(line);
    });
    return new HoldfastProcess(child, child.pid, ready, { log, output }, exit);
  }

  /** An address of the ready line, "host:port". */
  address(name: string): string {
    const address = this.ready[name];
    if (address === undefined)
      throw new Error(`no "${name}" in ${JSON.stringify(this.ready)}`);
    return address;
  }

  url(name: string, path = ""): string {
    return `http://${this.address(name)}${path}`;
  }

  /** The lines on standard error so far. */
  get log(): readonly string[] {
    return this.#log;
  }

  /** Sends a signal and waits for the end. */
  async kill(signal: NodeJS.Signals): Promise<Exit> {
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), EXIT_MS);
    const exit = await this.#exit;
    clearTimeout(timer);
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGTERM");
  }
}

/** The environment without what would set flags. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.startsWith("HOLDFAST_"),
    ),
  );
}

/** Starts a control plane on a directory, on these ports or on any. */
export function startCp(
  dataDir: string,
  ports: { readonly sync?: string; readonly admin?: string } = {},
): Promise<HoldfastProcess> {
  return HoldfastProcess.start(
    "cp",
    "--insecure-sync",
    "--data-dir",
    dataDir,
    "--admin-listen",
    ports.admin ?? "127.0.0.1:0",
    "--sync-listen",
    ports.sync ?? "127.0.0.1:0",
  );
}

/** Starts a data plane of the control plane at `sync`. */
export function startDp(
  dataDir: string,
  sync: string,
  ...more: readonly string[]
): Promise<HoldfastProcess> {
  return HoldfastProcess.start(
    "dp",
    "--insecure-sync",
    "--data-dir",
    dataDir,
    "--control-plane",
    sync,
    "--proxy-listen",
    "127.0.0.1:0",
    "--status-listen",
    "127.0.0.1:0",
    ...more,
  );
}
