import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { buildBench } from "./built.ts";
import type { RoleName } from "./roles.ts";

/** What a child process can be asked to do. Arguments and results travel as structured clones. */
// A method's parameters are checked where it is called.
export type Calls = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Request {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: string };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** No call may take longer: a bench that hangs ends. */
const CALL_MS = 45 * 60_000;
const STOP_MS = 10_000;

/** A process of its own that plays one part of a bench. */
export class Child<C> implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #role: RoleName;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  private constructor(role: RoleName, child: ChildProcess) {
    this.#role = role;
    this.#process = child;
    child.on("message", (message) => {
      this.#settle(message as Answer);
    });
    child.once("exit", (code, signal) => {
      const error = new Error(
        `the process of "${role}" ended with ${signal ?? code}`,
      );
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    });
  }

  /**
   * Starts a process; it is gone when this is disposed of.
   *
   * @param flags More of node's own.
   */
  static async start<C>(
    role: RoleName,
    flags: readonly string[] = [],
  ): Promise<Child<C>> {
    const main = await buildBench();
    const profiles = process.env["BENCH_PROFILES"];
    const execArgv = [
      // A directory for a CPU profile of each process, to see where its time goes.
      ...(profiles === undefined
        ? []
        : ["--cpu-prof", `--cpu-prof-dir=${profiles}`]),
    ];
    const child = fork(main, ["role", role], {
      execArgv: [...execArgv, ...flags, "--expose-gc"],
      serialization: "advanced",
    });
    await once(child, "spawn");
    return new Child<C>(role, child);
  }

  /** Its process id. */
  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error(`"${this.#role}" does not run`);
    return pid;
  }

  /** Asks it to do something, and waits. */
  call<K extends keyof C & string>(
    name: K,
    ...args: C[K] extends (...args: infer A) => unknown ? A : never
  ): Promise<C[K] extends (...args: never[]) => infer R ? Awaited<R> : never> {
    type Result = C[K] extends (...args: never[]) => infer R
      ? Awaited<R>
      : never;
    const id = this.#nextId++;
    return new Promise<Result>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(
          new Error(`"${name}" of "${this.#role}" took over ${CALL_MS} ms`),
        );
      }, CALL_MS);
      this.#pending.set(id, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value as Result);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#process.send({ id, name, args } satisfies Request);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    // Its end of the channel closes; what it had open is closed with the process.
    child.disconnect();
    const kill = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await gone;
    clearTimeout(kill);
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (answer.ok) pending?.resolve(answer.value);
    else pending?.reject(new Error(`in "${this.#role}": ${answer.error}`));
  }
}

/** Does in this process what the parent asks for, until the parent lets go of it. */
export function serveCalls(calls: Calls): void {
  process.on("message", (message) => {
    const { id, name, args } = message as Request;
    void run(calls, name, args).then(
      (value) => process.send?.({ id, ok: true, value } satisfies Answer),
      (error: unknown) =>
        process.send?.({
          id,
          ok: false,
          error:
            error instanceof Error
              ? (error.stack ?? error.message)
              : String(error),
        } satisfies Answer),
    );
  });
  process.once("disconnect", () => {
    process.exit(0);
  });
}

async function run(
  calls: Calls,
  name: string,
  args: readonly unknown[],
): Promise<unknown> {
  const call = calls[name] as ((...args: unknown[]) => unknown) | undefined;
  if (call === undefined) throw new TypeError(`there is no call "${name}"`);
  return await call(...args);
}
