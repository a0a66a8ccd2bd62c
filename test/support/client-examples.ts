import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { findProgram } from "./tools.ts";

const top = path.join(import.meta.dirname, "../..");
const bin = path.join(top, "node_modules/.bin");

/** The languages that there are example clients in. */
export type Language = "go" | "python" | "typescript";

/** The folder of a language's example. */
function exampleFolder(language: Language): string {
  return path.join(top, "examples/clients", language);
}

/** The three commands of an example's README. */
export function readmeCommands(language: Language): string[] {
  const readme = readFileSync(
    path.join(exampleFolder(language), "README.md"),
    "utf8",
  );
  const block = /```sh\n([^]*?)```/.exec(readme)?.[1] ?? "";
  return block.trimEnd().split("\n");
}

/** How an example's commands are said here: with what CI has installed, in the place of what a reader would install. */
export interface Toolchain {
  /** What a reader's command becomes. */
  translate(command: string): string[];
}

/** The Go toolchain, with the modules that the example needs; why not, when there is none. */
export function findGo(programs: string): Toolchain | string {
  const go = findProgram("go");
  if (go === undefined) return lacking("Go is not installed");
  const folder = exampleFolder("go");
  const modules = execFileSync(go, ["env", "GOMODCACHE"], { cwd: folder });
  const version = /google\.golang\.org\/grpc (\S+)/.exec(
    readFileSync(path.join(folder, "go.mod"), "utf8"),
  )?.[1];
  if (
    !existsSync(
      path.join(
        modules.toString().trim(),
        `google.golang.org/grpc@${String(version)}`,
      ),
    )
  )
    return lacking(
      'its modules are not there: "go mod download" in examples/clients/go',
    );
  return {
    translate: (command) =>
      command
        .replace("npx buf", path.join(bin, "buf"))
        .replace("go run ./cmd", programs)
        .split(" "),
  };
}

/** A Python with the packages that the example needs: its own .venv, or the one that CI makes. */
export function findPython(): Toolchain | string {
  const folder = exampleFolder("python");
  const requirements = readFileSync(path.join(folder, "requirements.txt"));
  const hash = createHash("sha256").update(requirements).digest("hex");
  const cache = process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache");
  const python = [
    path.join(
      cache,
      `holdfast/tools/python-clients-${hash.slice(0, 12)}/venv/bin/python`,
    ),
    path.join(folder, ".venv/bin/python"),
  ].find(existsSync);
  if (python === undefined)
    return lacking(
      "examples/clients/python/.venv is not there: its README says how to make it",
    );
  return {
    translate: (command) =>
      command.replace(".venv/bin/python", python).split(" "),
  };
}

/** This repository's own packages, of the versions that the example names. */
export const typescript: Toolchain = {
  translate: (command) => command.replace("npx ", `${bin}/`).split(" "),
};

function lacking(why: string): string {
  if (process.env["HOLDFAST_REQUIRE_CLIENTS"] === "1")
    throw new Error(`${why}, and HOLDFAST_REQUIRE_CLIENTS is 1`);
  return why;
}

/** What a command printed, and how it ended. */
interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in an example's folder to its end, with a token if it needs one. */
export async function runExample(
  language: Language,
  command: readonly string[],
  token?: string,
): Promise<Ended> {
  const child = start(language, command, token);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    stdout += part;
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    stderr += part;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

const PATIENCE_MS = 20_000;

/** A data-plane client that runs until it is disposed of. */
export class ExampleNode implements AsyncDisposable {
  readonly #child: ReturnType<typeof start>;
  readonly #exit: Promise<unknown>;
  readonly #said = new EventEmitter();
  readonly #lines: string[] = [];

  constructor(language: Language, command: readonly string[]) {
    this.#child = start(language, command);
    this.#exit = once(this.#child, "close");
    for (const input of [this.#child.stdout, this.#child.stderr])
      createInterface({ input }).on("line", (line) => {
        this.#lines.push(line);
        this.#said.emit("line");
      });
  }

  /** What it has printed: a line for each state, one for each route of it, and its complaints. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Waits until it has printed a line that has this text. */
  async says(text: string): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    while (!this.#lines.some((line) => line.includes(text)))
      await once(this.#said, "line", { signal }).catch((cause: unknown) => {
        const last = this.#lines.slice(-5).join("\n");
        throw new Error(`it did not say "${text}", but last:\n${last}`, {
          cause,
        });
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGINT");
    await this.#exit;
  }
}

function start(
  language: Language,
  [program, ...argv]: readonly string[],
  token?: string,
) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.startsWith("HOLDFAST_"),
    ),
  );
  return spawn(program!, argv, {
    cwd: exampleFolder(language),
    env: {
      ...env,
      ...(token === undefined ? {} : { HOLDFAST_TOKEN: token }),
      PATH: `${bin}${path.delimiter}${env["PATH"] ?? ""}`,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
}
