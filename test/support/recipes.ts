import { readFileSync } from "node:fs";
import path from "node:path";

const top = path.join(import.meta.dirname, "../..");

/** A command that a document tells its readers to run, with what it says that it prints. */
export interface Recipe {
  /** "README.md:61". */
  readonly at: string;
  readonly command: string;
  /** The lines below it; none when the document shows none. */
  readonly output: readonly string[];
}

/**
 * The commands in a document's shell blocks that begin with one of these words. In a block with prompts ("$ ") what is
 * not a command is output; in one without, every line is a command. A backslash at the end, or a quote that is open, joins lines.
 */
export function recipesOf(file: string, programs: readonly string[]): Recipe[] {
  const recipes: Recipe[] = [];
  let block: { prompted: boolean; lines: [number, string][] } | undefined;
  const text = readFileSync(path.join(top, file), "utf8");
  for (const [i, line] of text.split("\n").entries()) {
    if (block === undefined) {
      if (/^```(console|sh)$/.test(line))
        block = { prompted: false, lines: [] };
    } else if (line === "```") {
      recipes.push(...recipesIn(file, block));
      block = undefined;
    } else {
      block.prompted ||= line.startsWith("$ ");
      block.lines.push([i + 1, line]);
    }
  }
  return recipes.filter(({ command }) =>
    programs.some((program) => command.startsWith(`${program} `)),
  );
}

function recipesIn(
  file: string,
  { prompted, lines }: { prompted: boolean; lines: [number, string][] },
): Recipe[] {
  const recipes: { at: string; command: string; output: string[] }[] = [];
  let joins = false;
  for (const [number, line] of lines) {
    const last = recipes.at(-1);
    if (joins && last !== undefined) last.command += `\n${line}`;
    else if (!prompted || line.startsWith("$ "))
      recipes.push({
        at: `${file}:${number}`,
        command: prompted ? line.slice(2) : line,
        output: [],
      });
    else last?.output.push(line);
    const text = recipes.at(-1)?.command ?? "";
    joins = line.endsWith("\\") || text.split("'").length % 2 === 0;
  }
  return recipes;
}

/** Whether something printed is what a document shows, but for ids, numbers, and what stands for more there ("…"). */
export function isShown(shown: string, printed: string): boolean {
  const keys = keysOf(shown);
  if (keys !== undefined) {
    const there = new Set(keysOf(printed) ?? []);
    return keys.every((key) => there.has(key));
  }
  const pattern = plain(shown)
    .split("…")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(".*");
  return new RegExp(`^${pattern}$`).test(plain(printed));
}

/** The names of all fields of a line of JSON. */
function keysOf(line: string): string[] | undefined {
  const keys: string[] = [];
  try {
    JSON.parse(line, (key: string, value: unknown) => {
      keys.push(key);
      return value;
    });
    return line.startsWith("{") ? keys : undefined;
  } catch {
    return undefined;
  }
}

function plain(line: string): string {
  return line
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<id>")
    .replace(/[0-9a-f]{12,}/g, "<hash>")
    .replace(/\d+/g, "<n>")
    .replace(/\s+/g, " ")
    .trim();
}
