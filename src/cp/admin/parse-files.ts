import { Worker } from "node:worker_threads";
import { fromBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "../../gen/holdfast/config/v1/resource_pb.js";
import type {
  DeclarativeFile,
  DeclaredEntity,
  ParsedDeclarative,
} from "../../model/declarative/parsed.ts";
import { parseDeclarative } from "../../model/declarative/parse.ts";
import { ConfigError } from "../../model/violation.ts";
import type { ParsedPart } from "./parse-worker.ts";

/** Files up to this size, in characters, are parsed at once: starting a thread would take longer. */
const AT_ONCE = 8_192;

/** What a thread that parses may use: a file that unfolds to more ends the thread and not the process. */
const WORKER_MEMORY_MB = 2_048;

/** Parses declarative files. Large ones in a thread of their own, so that what else goes on here does not stall. */
export async function parseFiles(
  files: readonly DeclarativeFile[],
  signal: AbortSignal,
): Promise<ParsedDeclarative> {
  const plain = files.map(({ name, content }) => ({ name, content }));
  const size = plain.reduce((sum, { content }) => sum + content.length, 0);
  return size <= AT_ONCE ? parseDeclarative(plain) : parseAside(plain, signal);
}

async function parseAside(
  files: readonly DeclarativeFile[],
  signal: AbortSignal,
): Promise<ParsedDeclarative> {
  signal.throwIfAborted();
  const worker = startWorker(files);
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
          const { problems, warnings } = part;
          resolve({ entities, problems, warnings });
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

function startWorker(files: readonly DeclarativeFile[]): Worker {
  const script = new URL("./parse-worker.ts", import.meta.url);
  const fromSource = import.meta.url.endsWith(".ts");
  if (!fromSource) script.pathname = script.pathname.replace(/ts$/, "js");
  return new Worker(script, {
    workerData: files,
    resourceLimits: { maxOldGenerationSizeMb: WORKER_MEMORY_MB },
    // Sources are run by tsx, and a thread does not always inherit that.
    ...(fromSource ? { execArgv: ["--import", "tsx"] } : {}),
  });
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
