import { readFileSync } from "node:fs";
import type { Command, CommandEntry, Context } from "./command.ts";
import { commandHelp, programHelp } from "./help.ts";
import { EXIT, Failure, UsageError, type ExitCode, type Io } from "./io.ts";
import { didYouMean } from "./nearest.ts";
import type { Env } from "./parse-flags.ts";

/** Does what the arguments say, and answers what the process shall end with. Never rejects for bad input. */
export async function run(
  commands: readonly CommandEntry[],
  argv: readonly string[],
  env: Env,
  io: Io,
): Promise<ExitCode> {
  const [first, ...rest] = argv;
  switch (first) {
    case undefined:
      io.stderr.write(programHelp(await loadAll(commands), io.stderr));
      return EXIT.usage;
    case "--version":
      io.stdout.write(`holdfast ${version()}\n`);
      return EXIT.done;
    case "--help":
    case "-h":
      io.stdout.write(programHelp(await loadAll(commands), io.stdout));
      return EXIT.done;
    case "help":
      return help(commands, rest, io);
    default:
      return runCommand(commands, first, rest, { io, env, version: version() });
  }
}

async function runCommand(
  commands: readonly CommandEntry[],
  name: string,
  argv: readonly string[],
  context: Context,
): Promise<ExitCode> {
  const { io } = context;
  const [next, ...others] = argv;
  const longer = `${name} ${next ?? ""}`;
  if (commands.some((candidate) => candidate.name === longer))
    return runCommand(commands, longer, others, context);
  const entry = commands.find((candidate) => candidate.name === name);
  if (entry === undefined) return unknown(commands, name, io);
  try {
    const command = await entry.load();
    const code = await command.execute(context, argv);
    if (code === undefined) io.stdout.write(commandHelp(command, io.stdout));
    return code ?? EXIT.done;
  } catch (error) {
    if (error instanceof UsageError) {
      const lines = error.problems.map((line) => `holdfast ${name}: ${line}`);
      lines.push(`See "holdfast ${name} --help".`);
      io.stderr.write(`${lines.join("\n")}\n`);
      return EXIT.usage;
    }
    const lines = io.stop.aborted
      ? ["interrupted"]
      : error instanceof Failure
        ? error.message.split("\n")
        : [
            error instanceof Error
              ? (error.stack ?? error.message)
              : String(error),
          ];
    const [firstLine = "", ...more] = lines;
    io.stderr.write(
      `${[`holdfast ${name}: ${firstLine}`, ...more].join("\n")}\n`,
    );
    return EXIT.failed;
  }
}

function loadAll(commands: readonly CommandEntry[]): Promise<Command[]> {
  return Promise.all(commands.map((entry) => entry.load()));
}

async function help(
  commands: readonly CommandEntry[],
  words: readonly string[],
  io: Io,
): Promise<ExitCode> {
  const name = words.length === 0 ? undefined : words.join(" ");
  const entry = commands.find((candidate) => candidate.name === name);
  if (name !== undefined && entry === undefined)
    return unknown(commands, name, io);
  io.stdout.write(
    entry === undefined
      ? programHelp(await loadAll(commands), io.stdout)
      : commandHelp(await entry.load(), io.stdout),
  );
  return EXIT.done;
}

async function unknown(
  commands: readonly CommandEntry[],
  name: string,
  io: Io,
): Promise<ExitCode> {
  const names = (await loadAll(commands))
    .filter(({ hidden }) => !hidden)
    .map((candidate) => candidate.name);
  const problem = name.startsWith("-")
    ? `the command comes before its flags: holdfast COMMAND ${name} …`
    : `there is no command "${name}".${didYouMean(name, names, "holdfast ")}`;
  io.stderr.write(
    `holdfast: ${problem}\nThe commands are ${names.join(", ")}. See "holdfast --help".\n`,
  );
  return EXIT.usage;
}

/** From the package this file is part of; the path is the same in src and in dist. */
function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  const content: unknown = JSON.parse(readFileSync(file, "utf8"));
  return typeof content === "object" &&
    content !== null &&
    "version" in content &&
    typeof content.version === "string"
    ? content.version
    : "unknown";
}
