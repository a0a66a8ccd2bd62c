/** What a scalar of a declarative file is. */
export type ScalarValue = string | number | boolean | null;

const WORDS = new Map<string, ScalarValue>([
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
  ...["true", "yes", "on"].flatMap((word) => spelt(word, true)),
  ...["false", "no", "off"].flatMap((word) => spelt(word, false)),
]);

function spelt(word: string, value: boolean): [string, boolean][] {
  const capital = `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`;
  return [word, capital, word.toUpperCase()].map((text) => [text, value]);
}

/** Every number starts so; most text does not, and is spared the expressions below. */
const MAYBE_NUMBER = /^[-+.\d]/;
const DECIMAL = /^[-+]?(?:0|[1-9][\d_]*)$/;
const OCTAL = /^([-+]?)0([0-7_]+)$/;
const HEXADECIMAL = /^([-+]?)0x([\da-fA-F_]+)$/;
const BINARY = /^([-+]?)0b([01_]+)$/;
const FLOAT = /^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][-+]?\d+)?$/;
const SEXAGESIMAL = /^([-+]?)(\d[\d_]*(?::[0-5]?\d)+(?:\.\d*)?)$/;
const INFINITE = /^([-+]?)\.(?:inf|Inf|INF)$/;
const NOT_A_NUMBER = /^\.(?:nan|NaN|NAN)$/;

/**
 * What an unquoted scalar means in YAML 1.1 as Kong's parser reads it: `yes`, `no`, `on` and `off` are booleans, `y` and
 * `n` are not; a leading zero is octal; `1:30` is ninety; a date is text.
 */
export function readPlainScalar(text: string): ScalarValue {
  const word = WORDS.get(text);
  if (word !== undefined) return word;
  return MAYBE_NUMBER.test(text) ? (readNumber(text) ?? text) : text;
}

function readNumber(text: string): number | undefined {
  if (DECIMAL.test(text)) return Number(text.replaceAll("_", ""));
  return (
    inBase(OCTAL.exec(text), 8) ??
    inBase(HEXADECIMAL.exec(text), 16) ??
    inBase(BINARY.exec(text), 2) ??
    // "08" is neither octal nor decimal: text.
    (FLOAT.test(text) && !/^[-+]?0\d+$/.test(text)
      ? Number(text.replaceAll("_", ""))
      : undefined) ??
    sexagesimal(SEXAGESIMAL.exec(text)) ??
    unreal(text)
  );
}

function inBase(
  match: RegExpExecArray | null,
  base: number,
): number | undefined {
  const digits = match?.[2]?.replaceAll("_", "") ?? "";
  return digits === "" ? undefined : sign(match) * parseInt(digits, base);
}

function sexagesimal(match: RegExpExecArray | null): number | undefined {
  const parts = match?.[2]?.replaceAll("_", "").split(":");
  return parts === undefined
    ? undefined
    : sign(match) * parts.reduce((total, part) => total * 60 + Number(part), 0);
}

function unreal(text: string): number | undefined {
  if (NOT_A_NUMBER.test(text)) return NaN;
  const match = INFINITE.exec(text);
  return match === null ? undefined : sign(match) * Infinity;
}

function sign(match: RegExpExecArray | null): 1 | -1 {
  return match?.[1] === "-" ? -1 : 1;
}
