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
import type { ParsedPart, ParseWork } from "./parse-worker.ts";

/** Files up to this size, in characters, are parsed at once: that takes less than starting a thread. */
const AT_ONCE = 2_048;

/** What a thread that parses may use: files that unfold to more end the thread and not the process. */
const WORKER_MEMORY_MB = 2_048;

/**
 * Parses declarative files, large ones in a thread of their own so that what else goes on here does not stall. One such
 * thread at a time: together they could take more memory than there is.
 */
export class FileParser {
  #last: Promise<unknown> = Promise.resolve();

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
      parseAside({ files: plain, options }, signal),
    );
    this.#last = parsed.catch(() => {
      // Whoever asked for it is told; the next one only waits for its end.
    });
    return parsed;
  }
}

async function parseAside(
  work: ParseWork,
  signal: AbortSignal,
): Promise<ParsedDeclarative> {
  signal.throwIfAborted();
  const worker = startWorker(work);
  const entities: DeclaredEntity[] = [];
  try {
    return await new Promise<ParsedDeclarative>((resolve, reject) => {
      const stop = (): void => {
        reject(new Error("nobody waits for it any more"));
      };
      signal.addEventListener("abort", stop, { once: true });
      worker.once("exit", () => {
        signal.removeEventListener("abort", stop);
        // After a result this changes nothing.
        reject(new Error("the thread that parses ended without a result"));
      });
      worker.once("error", (error: Error) => {
        reject(translate(error));
      });
      worker.on("message", (part: ParsedPart) => {
        if (part.type === "end") {
          const { problems, warnings, missing, selectTags } = part;
          resolve({ entities, problems, warnings, missing, selectTags });
        } else
          for (const { value, ...entity } of part.entities)
            entities.push({
              ...entity,
              resource: fromBinary(ResourceSchema, value),
            });
      });
    });
  } finally {
    await worker.terminate();
  }
}

function startWorker(work: ParseWork): Worker {
  const script = new URL("./parse-worker.ts", import.meta.url);
  const options = {
    workerData: work,
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
