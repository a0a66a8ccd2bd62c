import { truth, type Read, type ValueType } from "./value-types.ts";

/** One option of a command, given as `--name`, in the environment or in a configuration file. */
export interface Flag<T> {
  /** What it does; the first sentence of its help. */
  readonly summary: string;
  /** What help calls the value; empty for a switch. */
  readonly placeholder: string;
  /** A letter that stands for the name: `-f`. */
  readonly short: string | undefined;
  /** Whether it may be given several times. */
  readonly many: boolean;
  readonly required: boolean;
  /** Whether it is a secret: given in the environment only, as others can see command lines. */
  readonly secret: boolean;
  /** The texts it has when nobody gives any. */
  readonly fallback: readonly string[];
  /** Reads what was given; nothing given and no default is an empty list. */
  read(texts: readonly string[]): Read<T>;
}

/** The flags of a command by name, in camel case: `dataDir` is `--data-dir`. */
export type FlagTable = Readonly<Record<string, Flag<unknown>>>;

/** The values of a table's flags. */
export type Values<F extends FlagTable> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
};

/** What somebody gave a flag. */
export interface Given {
  /** Where, for messages: `--data-dir`, `HOLDFAST_DATA_DIR in the environment`. */
  readonly from: string;
  readonly texts: readonly string[];
}

/** What all sorts of flags have. */
interface About {
  readonly summary: string;
  readonly short?: string;
}

/** A flag with a default. */
export function flag<T>(
  type: ValueType<T>,
  about: About & { readonly default: string },
): Flag<T> {
  return {
    ...described(type, about),
    many: false,
    required: false,
    fallback: [about.default],
    read: (texts) => type.read(texts.at(-1) ?? about.default),
  };
}

/** A flag that may be left out. */
export function optional<T>(
  type: ValueType<T>,
  about: About,
): Flag<T | undefined> {
  return {
    ...described(type, about),
    many: false,
    required: false,
    fallback: [],
    read(texts) {
      const text = texts.at(-1);
      return text === undefined
        ? { ok: true, value: undefined }
        : type.read(text);
    },
  };
}

/** A secret that may be left out. It is only read from the environment. */
export function secret<T>(
  type: ValueType<T>,
  about: About,
): Flag<T | undefined> {
  return { ...optional(type, about), secret: true };
}

/** A flag that must be given. */
export function required<T>(type: ValueType<T>, about: About): Flag<T> {
  return {
    ...described(type, about),
    many: false,
    required: true,
    fallback: [],
    read: (texts) => type.read(texts.at(-1) ?? ""),
  };
}

/** A flag that may be given several times. */
export function list<T>(
  type: ValueType<T>,
  about: About & {
    readonly required?: boolean;
    readonly default?: readonly string[];
  },
): Flag<readonly T[]> {
  return {
    ...described(type, about),
    many: true,
    required: about.required ?? false,
    fallback: about.default ?? [],
    read(texts) {
      const values: T[] = [];
      for (const text of texts) {
        const one = type.read(text);
        if (!one.ok) return one;
        values.push(one.value);
      }
      return { ok: true, value: values };
    },
  };
}

/** A flag without a value: given or not. */
export function toggle(about: About): Flag<boolean> {
  return {
    ...described(truth, about),
    many: false,
    required: false,
    fallback: [],
    read: (texts) => truth.read(texts.at(-1) ?? "false"),
  };
}

/** Whether a flag takes no value. */
export function isToggle(candidate: Flag<unknown>): boolean {
  return candidate.placeholder === "";
}

/** `dataDir` as it is written on the command line and in files, without the leading dashes: `data-dir`. */
export function dashed(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `dataDir` as it is written in the environment: `HOLDFAST_DATA_DIR`. */
export function envName(name: string): string {
  return `HOLDFAST_${dashed(name).replaceAll("-", "_").toUpperCase()}`;
}

function described(
  type: ValueType<unknown>,
  about: About,
): Pick<Flag<unknown>, "summary" | "short" | "placeholder" | "secret"> {
  return {
    secret: false,
    summary: about.summary,
    short: about.short,
    placeholder: type.placeholder,
  };
}
