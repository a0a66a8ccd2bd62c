import type { Command, CommandInfo } from "./command.ts";
import { dashed, envName, isToggle, type Flag } from "./flags.ts";
import type { Output } from "./io.ts";
import { CONFIG_FLAG } from "./parse-flags.ts";

const MAX_WIDTH = 100;

/** The help of the program: what it is, its commands, and what holds for all of them. */
export function programHelp(
  commands: readonly CommandInfo[],
  out: Output,
): string {
  const width = widthOf(out);
  const listed = commands.filter(({ hidden }) => !hidden);
  const column = Math.max(...listed.map(({ name }) => name.length)) + 2;
  return [
    ...wrap(
      "Holdfast distributes gateway configuration from a control plane to data planes that keep proxying when it is gone.",
      width,
    ),
    "",
    "Usage: holdfast COMMAND [FLAGS]",
    "",
    "Commands:",
    ...listed.flatMap(({ name, summary }) =>
      entry(name.padEnd(column), summary, width),
    ),
    "",
    ...wrap(
      'Try "holdfast up" first. "holdfast COMMAND --help" explains a command; "holdfast --version" prints the version.',
      width,
    ),
    "",
    ...wrap(
      "Every flag can also be given in the environment as HOLDFAST_<FLAG> (--data-dir is HOLDFAST_DATA_DIR; several values are separated by commas), and in a YAML file named with --config (data-dir: ./data). The command line wins over the environment, that over the file.",
      width,
    ),
    "",
    ...wrap(
      "The process ends with 0 when all is done, 1 when something failed, 2 when the command line cannot be understood, 3 when there are differences, or not every node serves what was waited for.",
      width,
    ),
    "",
  ].join("\n");
}

/** The help of one command. */
export function commandHelp(command: Command, out: Output): string {
  const width = widthOf(out);
  const flags: (readonly [string, Flag<unknown>])[] = [
    ...Object.entries(command.flags),
    ["config", CONFIG_FLAG],
  ];
  return [
    ...wrap(`${command.summary}.`, width),
    "",
    ...wrap(
      `Usage: holdfast ${[command.name, command.argsUsage, "[FLAGS]"].filter((word) => word !== "").join(" ")}`,
      width,
    ),
    ...command.help.flatMap((paragraph) => ["", ...wrap(paragraph, width)]),
    "",
    "Flags:",
    ...flags.flatMap(([name, flag]) => flagHelp(name, flag, width)),
    ...(command.examples.length === 0 ? [] : ["", "Examples:"]),
    ...command.examples.flatMap(([line, does]) => [
      ...wrap(`# ${does}`, width - 2).map((text) => `  ${text}`),
      `  ${line}`,
    ]),
    "",
  ].join("\n");
}

function flagHelp(name: string, flag: Flag<unknown>, width: number): string[] {
  if (flag.secret)
    return [
      `  ${envName(name)}=${flag.placeholder}`,
      ...wrap(`${flag.summary} [environment only]`, width - 6).map(
        (text) => `      ${text}`,
      ),
    ];
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  const value = isToggle(flag) ? "" : ` ${flag.placeholder}`;
  const notes = [
    ...(flag.required ? ["required"] : []),
    ...(flag.many ? ["may be given several times"] : []),
    ...(flag.fallback.length > 0 ? [`default ${flag.fallback.join(",")}`] : []),
    `env ${envName(name)}`,
  ];
  return [
    `  ${short}--${dashed(name)}${value}`,
    ...wrap(`${flag.summary} [${notes.join("; ")}]`, width - 6).map(
      (text) => `      ${text}`,
    ),
  ];
}

function entry(left: string, right: string, width: number): string[] {
  const [first = "", ...more] = wrap(right, width - left.length - 2);
  return [
    `  ${left}${first}`,
    ...more.map((text) => `  ${" ".repeat(left.length)}${text}`),
  ];
}

function widthOf(out: Output): number {
  return Math.max(40, Math.min(out.columns ?? MAX_WIDTH, MAX_WIDTH));
}

/** Lines of at most `width` characters, broken at spaces; a longer word has its own line. */
function wrap(paragraph: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of paragraph.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= width || line === "") {
      line = longer;
    } else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}
