import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

const STOP_MS = 10_000;

/** A peer's process; it is gone when this is disposed of. */
export class Program implements AsyncDisposable {
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#process = child;
  }

  /** Starts a program. Undefined: there is none of that name. */
  static async start(
    command: string,
    args: readonly string[],
    options: { readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<Program | undefined> {
    const child = spawn(command, args, {
      stdio: ["pipe", "pipe", "ignore"],
      env: { ...process.env, ...options.env },
    });
    try {
      await once(child, "spawn");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    // A program that is gone takes no more input.
    child.stdin.on("error", () => undefined);
    return new Program(child);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get input(): NodeJS.WritableStream {
    if (this.#process.stdin === null) throw new TypeError("it has no input");
    return this.#process.stdin;
  }

  get output(): NodeJS.ReadableStream {
    if (this.#process.stdout === null) throw new TypeError("it has no output");
    return this.#process.stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const kill = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await gone;
    clearTimeout(kill);
  }
}

/** A port that nobody listens on now, for programs that cannot choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
