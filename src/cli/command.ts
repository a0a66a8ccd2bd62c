import type { FlagTable, Values } from "./flags.ts";
import type { ExitCode, Io } from "./io.ts";
import { parseFlags, type Env } from "./parse-flags.ts";
import { UsageError } from "./io.ts";

/** What a command is given besides its flags. */
export interface Context {
  readonly io: Io;
  /** The version of this software. */
  readonly version: string;
  /** The environment: for child processes, and to find programs. Flags are read from it already. */
  readonly env: Env;
}

/** What a command says about itself. */
export interface CommandInfo {
  /** The first words of the command line: one, or two for a command beside another. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What comes after the flags: `KIND [ID|NAME]`. */
  readonly argsUsage: string;
  /** How many words that may be. */
  readonly argsCount: { readonly min: number; readonly max: number };
  /** Paragraphs that say what a reader of the summary wants to know next. */
  readonly help: readonly string[];
  /** Command lines to copy, each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  readonly flags: FlagTable;
  /** Not listed: for this program itself. */
  readonly hidden: boolean;
}

/** A command that can be run with the words after its name. */
export interface Command extends CommandInfo {
  /** Undefined when the words ask for help and nothing was run. */
  execute(
    context: Context,
    argv: readonly string[],
  ): Promise<ExitCode | undefined>;
}

/** A command that need not be loaded yet. */
export interface CommandEntry {
  /** The command's own. */
  readonly name: string;
  readonly load: () => Promise<Command>;
}

/** Makes a command of what it says about itself and of what it does with the values of its flags. */
export function command<F extends FlagTable>(
  definition: Omit<CommandInfo, "flags" | "hidden"> & {
    readonly flags: F;
    readonly hidden?: boolean;
    readonly run: (
      context: Context,
      values: Values<F>,
      args: readonly string[],
    ) => Promise<ExitCode>;
  },
): Command {
  const { run, ...info } = definition;
  return {
    ...info,
    hidden: definition.hidden ?? false,
    async execute(context, argv) {
      const parsed = parseFlags(definition.flags, argv, context.env);
      if (parsed.help) return undefined;
      const { min, max } = definition.argsCount;
      const count = parsed.args.length;
      if (count < min)
        throw new UsageError([
          `something is missing: holdfast ${definition.name} ${definition.argsUsage}`,
        ]);
      if (count > max)
        throw new UsageError([
          `"${parsed.args.slice(max).join(" ")}" is too much: holdfast ${[definition.name, definition.argsUsage].join(" ").trim()}`,
        ]);
      return run(context, parsed.values, parsed.args);
    },
  };
}
