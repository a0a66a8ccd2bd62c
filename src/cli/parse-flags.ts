import { parseArgs } from "node:util";
import { readConfigFile } from "./config-file.ts";
import {
  dashed,
  envName,
  isToggle,
  optional,
  type Flag,
  type FlagTable,
  type Given,
  type Values,
} from "./flags.ts";
import { UsageError } from "./io.ts";
import { didYouMean } from "./nearest.ts";
import { text } from "./value-types.ts";

/** The environment, as in `process.env`. */
export type Env = Readonly<Record<string, string | undefined>>;

/** What a command line says. */
export type ParsedArgs<F extends FlagTable> =
  | { readonly help: true }
  | {
      readonly help: false;
      readonly values: Values<F>;
      readonly args: readonly string[];
    };

/** The flag that every command has. */
export const CONFIG_FLAG: Flag<string | undefined> = optional(text("FILE"), {
  summary:
    "A YAML file with flags by name, without the dashes: `data-dir: ./data`.",
});

/**
 * Reads a command's arguments. A flag on the command line wins over its variable in the environment, that over the file
 * given with `--config`, that over the default. Throws a {@link UsageError} with everything that is wrong.
 */
export function parseFlags<F extends FlagTable>(
  flags: F,
  argv: readonly string[],
  env: Env,
): ParsedArgs<F> {
  const problems: string[] = [];
  const open = withoutSecrets(flags);
  const line = readCommandLine(
    { ...open, config: CONFIG_FLAG },
    flags,
    argv,
    problems,
  );
  if (line.help) return { help: true };

  const given = new Map<string, Given>();
  const configFile =
    line.given.get("config")?.texts.at(-1) ?? nonEmpty(env[envName("config")]);
  const file =
    configFile === undefined
      ? new Map<string, Given>()
      : readConfigFile(configFile, open, problems);
  for (const [name, flag] of Object.entries(flags)) {
    const source =
      line.given.get(name) ?? readEnv(name, flag, env) ?? file.get(name);
    if (source !== undefined) given.set(name, source);
  }

  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const source = given.get(name);
    if (source === undefined && flag.required) {
      problems.push(
        `--${dashed(name)} is required (or ${envName(name)} in the environment): ${flag.summary}`,
      );
      continue;
    }
    const read = flag.read(source?.texts ?? flag.fallback);
    if (read.ok) values[name] = read.value;
    else
      problems.push(`${source?.from ?? `--${dashed(name)}`}: ${read.reason}`);
  }
  if (problems.length > 0) throw new UsageError(problems);
  return { values: values as Values<F>, args: line.args, help: false };
}

/** The flags that may stand where others can see them. */
function withoutSecrets(flags: FlagTable): FlagTable {
  return Object.fromEntries(
    Object.entries(flags).filter(([, flag]) => !flag.secret),
  );
}

function readCommandLine(
  flags: FlagTable,
  all: FlagTable,
  argv: readonly string[],
  problems: string[],
): { given: Map<string, Given>; args: string[]; help: boolean } {
  const nameOfFlag = new Map<string, string>();
  for (const [name, { short }] of Object.entries(flags)) {
    nameOfFlag.set(`--${dashed(name)}`, name);
    if (short !== undefined) nameOfFlag.set(`-${short}`, name);
  }
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [
      dashed(name),
      {
        type: isToggle(flag) ? ("boolean" as const) : ("string" as const),
        ...(flag.short === undefined ? {} : { short: flag.short }),
      },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options: { ...options, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
    strict: false,
    tokens: true,
  });

  const texts = new Map<string, string[]>();
  const args: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === "positional") args.push(token.value);
    if (token.kind !== "option") continue;
    if (token.name === "help") {
      help = true;
      continue;
    }
    const name = nameOfFlag.get(`--${token.name}`);
    const flag = name === undefined ? undefined : flags[name];
    const hidden = Object.entries(all).find(
      ([known, { secret }]) => secret && dashed(known) === token.name,
    );
    if (hidden !== undefined) {
      // What was given with it is not repeated anywhere.
      problems.push(
        `${token.rawName} cannot be given on the command line, which everybody on this machine can see: ${envName(hidden[0])} in the environment, or a file`,
      );
      continue;
    }
    if (name === undefined || flag === undefined) {
      const known = [...nameOfFlag.keys()].filter((k) => k.startsWith("--"));
      problems.push(
        `${token.rawName} is not a flag of this command.${didYouMean(token.rawName, known)}`,
      );
      continue;
    }
    const value = isToggle(flag) ? (token.value ?? "true") : token.value;
    // Not the next flag taken for a value; "-" alone is one.
    const missing =
      value === undefined || (token.inlineValue === false && /^-./.test(value));
    if (missing) {
      problems.push(
        `${token.rawName} needs a value: ${token.rawName} ${flag.placeholder}`,
      );
      continue;
    }
    texts.set(name, [...(texts.get(name) ?? []), value]);
  }

  const given = new Map<string, Given>();
  for (const [name, values] of texts) {
    if (flags[name]?.many !== true && values.length > 1) {
      problems.push(
        `--${dashed(name)} is given ${values.length} times and can be given once`,
      );
    }
    given.set(name, { from: `--${dashed(name)}`, texts: values });
  }
  return { given, args, help };
}

function readEnv(
  name: string,
  flag: Flag<unknown>,
  env: Env,
): Given | undefined {
  const value = nonEmpty(env[envName(name)]);
  if (value === undefined) return undefined;
  const texts = flag.many
    ? value.split(",").map((part) => part.trim())
    : [value];
  return { from: `${envName(name)} in the environment`, texts };
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
