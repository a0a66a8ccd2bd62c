import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { SentToAll } from "../support/bare-stream.ts";
import type { TempDir } from "../support/temp-dir.ts";
import type { KeyPair } from "../support/tls.ts";
import { Program } from "./program.ts";

const run = promisify(execFile);
const BUILD_MS = 300_000;
/** Where Go is when it is not on the path. */
const GO = ["go", "/usr/local/go/bin/go"];

/** The same as the bare grpc-js server, with grpc-go. */
export interface GoServer extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly streams: () => Promise<number>;
  readonly send: (bytes: Buffer) => Promise<SentToAll>;
}

/** Builds it. Without a file: why it could not be. */
export async function buildGoServer(
  directory: TempDir,
): Promise<
  | { readonly file: string }
  | { readonly file?: undefined; readonly why: string }
> {
  const go = GO.find((path) =>
    path === "go" ? onPath(path) : existsSync(path),
  );
  if (go === undefined) return { why: "Go is not installed" };
  const file = directory.join("go-server");
  try {
    await run(go, ["build", "-o", file, "."], {
      cwd: fileURLToPath(new URL("./go", import.meta.url)),
      timeout: BUILD_MS,
    });
  } catch (error) {
    const [line] = String((error as { stderr?: string }).stderr).split("\n");
    return { why: `the Go server does not build: ${line ?? ""}` };
  }
  return { file };
}

/** Starts what was built. */
export async function startGoServer(
  file: string,
  pair: KeyPair,
): Promise<GoServer> {
  const program = await Program.start(file, [pair.certFile, pair.keyFile]);
  if (program === undefined) throw new Error("the Go server does not start");
  const lines = createInterface({ input: program.output })[
    Symbol.asyncIterator
  ]();
  const answer = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("the Go server ended");
    return line.value;
  };
  const port = Number(await answer());
  return {
    pid: program.pid,
    port,
    streams: async () => {
      program.input.write("streams\n");
      return Number(await answer());
    },
    send: async (bytes) => {
      program.input.write(`send ${bytes.toString("base64")}\n`);
      const [sent = 0, ...answers] = (await answer()).split(" ").map(Number);
      return { sentNs: sent, answersNs: Float64Array.from(answers) };
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

function onPath(name: string): boolean {
  return (process.env["PATH"] ?? "")
    .split(":")
    .some((folder) => existsSync(`${folder}/${name}`));
}
