import { Worker } from "node:worker_threads";
import { fromBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "../../gen/holdfast/config/v1/resource_pb.js";
import type {
  DeclarativeFile,
  DeclaredEntity,
  ParsedDeclarative,
  ParseOptions,
} from "../../model/declarative/parsed.ts";
import { parseDeclarative } from "../../model/declarative/parse.ts";
import { ConfigError } from "../../model/violation.ts";
import { systemClock, type Clock, type Timer } from "../../runtime/clock.ts";
import type { ParsedPart, ParseWork } from "./parse-worker.ts";

/** Files up to this size, in characters, are parsed at once: that takes less than starting a thread. */
const AT_ONCE = 2_048;

/** What a thread that parses may use: files that unfold to more end the thread and not the process. */
const WORKER_MEMORY_MB = 2_048;

/** How long a thread that has nothing to do is kept. To start one takes longer than to parse most files. */
const IDLE_MS = 5_000;

/**
 * Parses declarative files, large ones in a thread of their own so that what else goes on here does not stall. One such
 * thread at a time: together they could take more memory than there is.
 */
export class FileParser {
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();
  /** The thread of the work before, while it is kept. */
  #idle: { readonly worker: Worker; readonly timer: Timer } | undefined;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Rejects when the signal is aborted, after the thread has ended. */
  parse(
    files: readonly DeclarativeFile[],
    options: ParseOptions,
    signal: AbortSignal,
  ): Promise<ParsedDeclarative> {
    const plain = files.map(({ name, content }) => ({ name, content }));
    const size = plain.reduce((sum, { content }) => sum + content.length, 0);
    if (size <= AT_ONCE)
      return Promise.resolve(parseDeclarative(plain, options));
    const parsed = this.#last.then(() =>
      this.#parseAside({ files: plain, options }, signal),
    );
    this.#last = parsed.catch(() => {
      // Whoever asked for it is told; the next one only waits for its end.
    });
    return parsed;
  }

  async #parseAside(
    work: ParseWork,
    signal: AbortSignal,
  ): Promise<ParsedDeclarative> {
    signal.throwIfAborted();
    const worker = this.#takeIdle() ?? this.#start();
    try {
      const parsed = await parseIn(worker, work, signal);
      this.#keep(worker);
      return parsed;
    } catch (error) {
      // What it is in the middle of is not waited for.
      await worker.terminate();
      throw error;
    }
  }

  #start(): Worker {
    const worker = startWorker();
    worker.on("exit", () => {
      if (this.#idle?.worker === worker) this.#takeIdle();
    });
    // Whoever waits for it listens too; when nobody does, it is not worth a crash.
    worker.on("error", () => undefined);
    return worker;
  }

  #takeIdle(): Worker | undefined {
    const idle = this.#idle;
    this.#idle = undefined;
    idle?.timer.cancel();
    idle?.worker.ref();
    return idle?.worker;
  }

  #keep(worker: Worker): void {
    worker.unref();
    const timer = this.#clock.setTimer(IDLE_MS, () => {
      this.#idle = undefined;
      void worker.terminate();
    });
    this.#idle = { worker, timer };
  }
}

function parseIn(
  worker: Worker,
  work: ParseWork,
  signal: AbortSignal,
): Promise<ParsedDeclarative> {
  const entities: DeclaredEntity[] = [];
  return new Promise<ParsedDeclarative>((resolve, reject) => {
    const end = (settle: () => void): void => {
      signal.removeEventListener("abort", onAbort);
      worker.off("exit", onExit).off("error", onError).off("message", onPart);
      settle();
    };
    const fail = (error: Error): void => {
      end(() => {
        reject(error);
      });
    };
    const onAbort = (): void => {
      fail(new Error("nobody waits for it any more"));
    };
    const onExit = (): void => {
      fail(new Error("the thread that parses ended without a result"));
    };
    const onError = (error: Error): void => {
      fail(translate(error));
    };
    const onPart = (part: ParsedPart): void => {
      if (part.type === "end") {
        const { problems, warnings, missing, selectTags } = part;
        end(() => {
          resolve({ entities, problems, warnings, missing, selectTags });
        });
      } else
        for (const { value, ...entity } of part.entities)
          entities.push({
            ...entity,
            resource: fromBinary(ResourceSchema, value),
          });
    };
    signal.addEventListener("abort", onAbort, { once: true });
    worker.on("exit", onExit).on("error", onError).on("message", onPart);
    worker.postMessage(work);
  });
}

function startWorker(): Worker {
  const script = new URL("./parse-worker.ts", import.meta.url);
  const options = {
    resourceLimits: { maxOldGenerationSizeMb: WORKER_MEMORY_MB },
  };
  if (import.meta.url.endsWith(".ts")) {
    // Run from its sources: a thread does not inherit what makes Node take TypeScript.
    const code = `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(script.href)}); });`;
    return new Worker(code, { ...options, eval: true });
  }
  script.pathname = script.pathname.replace(/ts$/, "js");
  return new Worker(script, options);
}

function translate(error: Error): Error {
  const code = "code" in error ? error.code : undefined;
  return code === "ERR_WORKER_OUT_OF_MEMORY"
    ? new ConfigError(
        "resource_exhausted",
        `the files unfold to more than ${WORKER_MEMORY_MB} MiB of memory: split them into several calls`,
        { cause: error },
      )
    : error;
}
