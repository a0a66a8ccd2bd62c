import { accessSync, constants, realpathSync } from "node:fs";
import path from "node:path";
import type { Program } from "../io.ts";
import type { Env } from "../parse-flags.ts";

/** A command line of this program that a person can paste into a shell. */
export function commandLine(
  program: Program,
  argv: readonly string[],
  env: Env,
): string {
  return [...programWords(program, env), ...argv].map(quoted).join(" ");
}

/** The shortest words that start this program from the current directory. */
function programWords({ execPath, args }: Program, env: Env): string[] {
  const script = args.at(-1) ?? "";
  const installed = inPath(path.basename(script), env);
  if (installed !== undefined && same(installed, script))
    return [path.basename(script)];
  const node = inPath("node", env);
  return [
    node !== undefined && same(node, execPath) ? "node" : execPath,
    ...args.slice(0, -1),
    shortest(script),
  ];
}

function inPath(name: string, env: Env): string | undefined {
  return (env["PATH"] ?? "")
    .split(path.delimiter)
    .map((folder) => path.join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function same(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}

function shortest(file: string): string {
  const relative = path.relative("", file);
  return relative.startsWith("..") ? file : relative;
}

function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word)
    ? word
    : `'${word.replaceAll("'", `'\\''`)}'`;
}
