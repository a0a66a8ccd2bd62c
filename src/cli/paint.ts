import type { Output } from "./io.ts";
import type { Env } from "./parse-flags.ts";

/** Gives text a colour, or leaves it as it is. */
type Paint = (text: string) => string;

/** The colours of what is added, changed, taken away, or has to be looked at. */
export interface Palette {
  readonly create: Paint;
  readonly update: Paint;
  readonly delete: Paint;
  readonly warn: Paint;
}

const RESET = "\u001b[0m";

/** Colours on a terminal, unless NO_COLOR is set or it can show none. */
export function paletteFor(out: Output, env: Env): Palette {
  const plain =
    out.isTTY !== true ||
    (env["NO_COLOR"] ?? "") !== "" ||
    env["TERM"] === "dumb";
  const colour =
    (code: number): Paint =>
    (text) =>
      plain ? text : `\u001b[${code}m${text}${RESET}`;
  return {
    create: colour(32),
    update: colour(33),
    delete: colour(31),
    warn: colour(35),
  };
}
