import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HOLDFAST } from "../support/holdfast-process.ts";
import { isShown, recipesOf, type Recipe } from "../support/recipes.ts";
import { TempDir } from "../support/temp-dir.ts";
import { findProgram, grpcurlPath } from "../support/tools.ts";

// What the documents tell readers to type is typed here, one after the other, on what "holdfast up" starts.

const grpcurl = grpcurlPath();
const binaries = path.join(import.meta.dirname, "../../node_modules/.bin");
const PROGRAMS = ["curl", "grpcurl", "npx buf curl", "npx holdfast wait"];
const START_MS = 40_000;

let dir: TempDir;
let up: ReturnType<typeof startUp>;
const ports = new Map<string | undefined, number>([
  ["proxy", 8000],
  ["admin", 8001],
  ["status", 8007],
]);
/** Where this run's listeners are, by what the documents say. */
const addresses = new Map<string, string>();

function startUp() {
  const listen = ["proxy", "admin", "sync", "status", "echo", "echo"];
  return spawn(
    process.execPath,
    [
      ...[HOLDFAST, "up"],
      ...listen.flatMap((name) => [`--${name}-listen`, "127.0.0.1:0"]),
    ],
    { cwd: dir.path, stdio: ["ignore", "pipe", "inherit"] },
  );
}

beforeAll(async () => {
  dir = await TempDir.make();
  // An answer that is an error is a failure, whatever the recipe shows of it.
  await writeFile(dir.join(".curlrc"), "fail-with-body\n");
  up = startUp();
  const signal = AbortSignal.timeout(START_MS);
  for await (const line of createInterface({ input: up.stdout, signal })) {
    for (const [, name, address] of line.matchAll(
      /\b(proxy|admin|status) http:\/\/(\S+:\d+)/g,
    ))
      addresses.set(`127.0.0.1:${String(ports.get(name))}`, address!);
    if (line.includes("Ctrl-C")) break;
  }
  up.stdout.resume();
}, START_MS);

afterAll(async () => {
  const end = once(up, "close");
  up.kill("SIGTERM");
  await end;
  await dir[Symbol.asyncDispose]();
});

async function type(
  command: string,
): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  let here = command
    .replace(/^npx holdfast/, `${process.execPath} ${HOLDFAST}`)
    .replace(/^npx /, "");
  for (const [said, address] of addresses)
    here = here.replaceAll(said, address);
  const shell = spawn("bash", ["-c", `{ ${here}\n} 2>&1`], {
    cwd: dir.path,
    env: {
      ...process.env,
      CURL_HOME: dir.path,
      HOLDFAST_ADMIN: `http://${String(addresses.get("127.0.0.1:8001"))}`,
      PATH: [path.dirname(grpcurl ?? ""), binaries, process.env["PATH"]].join(
        path.delimiter,
      ),
    },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 30_000,
  });
  let printed = "";
  shell.stdout.setEncoding("utf8").on("data", (part: string) => {
    printed += part;
  });
  const [code] = (await once(shell, "close")) as [number | null];
  return { code: code ?? -1, lines: printed.trimEnd().split("\n") };
}

describe.each([
  { document: "README.md", least: 8 },
  { document: "docs/clients.md", least: 8 },
])("$document", ({ document, least }) => {
  const recipes = recipesOf(document, PROGRAMS);

  test("has recipes", () => {
    expect(recipes.length).toBeGreaterThanOrEqual(least);
  });

  test.for(recipes)("$at: $command", async (recipe, context) => {
    const missing = lacks(recipe);
    if (missing !== undefined) {
      context.skip(`there is no ${missing}`);
      return;
    }
    const { code, lines } = await type(recipe.command);
    // What ends with an error is shown as one.
    const fails = recipe.output.some((line) =>
      /^(ERROR|Error|\{"code")/.test(line),
    );
    expect({ code: code === 0, lines }).toMatchObject({ code: !fails });
    let from = 0;
    for (const shown of recipe.output) {
      const at = lines.findIndex(
        (line, i) => i >= from && isShown(shown, line),
      );
      expect(at, `"${shown}" in\n${lines.join("\n")}`).not.toBe(-1);
      from = at + 1;
    }
  });
});

/** What a recipe needs and the machine has not. */
function lacks({ command }: Recipe): string | undefined {
  if (command.startsWith("grpcurl"))
    return grpcurl === undefined ? "grpcurl" : undefined;
  return command.startsWith("curl") && findProgram("curl") === undefined
    ? "curl"
    : undefined;
}
