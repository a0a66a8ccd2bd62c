import type { SeededRandom } from "./seeded-random.ts";

/** Texts that have given parsers trouble. */
const NASTY = [
  "",
  "null",
  "~",
  "[]",
  "{}",
  "- - -",
  "*nowhere",
  "&a [*a, *a]",
  "<<: *x",
  "!!binary AA==",
  "!!js/function 'x'",
  "__proto__: {a: 1}",
  "constructor: 1",
  "-0",
  "1e999",
  ".nan",
  "0x7fffffffffffffff",
  "99999999999999999999999",
  "'\\0'",
  '"\\ud800"',
  "\u0000",
  "\uFEFF",
  "\u202e",
  "💥",
  "---",
  "...",
  "? [a, b]: c",
  "|\n  text",
  "id: 00000000-0000-0000-0000-000000000000",
  "~/(((((((((((((((((a*)*)*)*)*)*)*)",
  "~/(?=x)",
  "x".repeat(70_000),
  "[".repeat(5_000),
  "{a: ".repeat(3_000),
];

type Mutation = (lines: string[], random: SeededRandom) => void;

/** What may be done to a file, each at a random place. */
const MUTATIONS: readonly Mutation[] = [
  // A line goes.
  (lines, random) => {
    lines.splice(random.below(lines.length), 1 + random.below(3));
  },
  // Some lines are there twice.
  (lines, random) => {
    const at = random.below(lines.length);
    const some = lines.slice(at, at + 1 + random.below(20));
    lines.splice(random.below(lines.length), 0, ...some);
  },
  // Two lines change places.
  (lines, random) => {
    const [a, b] = [random.below(lines.length), random.below(lines.length)];
    [lines[a], lines[b]] = [lines[b] ?? "", lines[a] ?? ""];
  },
  // A line is moved in or out.
  (lines, random) => {
    const at = random.below(lines.length);
    const line = lines[at] ?? "";
    lines[at] = random.below(2) === 0 ? `  ${line}` : line.replace(/^ {2}/, "");
  },
  // A value is another one.
  (lines, random) => {
    const at = random.below(lines.length);
    const line = lines[at] ?? "";
    lines[at] = `${line.replace(/:\s.*$/, ":")} ${random.pick(NASTY)}`;
  },
  // A key is the one of another line.
  (lines, random) => {
    const at = random.below(lines.length);
    const key = /^[ -]*([\w]+):/.exec(random.pick(lines))?.[1] ?? "name";
    lines[at] = (lines[at] ?? "").replace(/\w+(?=:)/, key);
  },
  // A character is another one.
  (lines, random) => {
    const at = random.below(lines.length);
    const line = lines[at] ?? "";
    const column = random.below(line.length + 1);
    const other = String.fromCharCode(random.below(128));
    lines[at] = line.slice(0, column) + other + line.slice(column + 1);
  },
  // The file ends here.
  (lines, random) => {
    lines.length = 1 + random.below(lines.length);
  },
];

/** A text with a few things done to it that may break it or not. */
export function mutated(text: string, random: SeededRandom): string {
  const lines = text.split("\n");
  for (let i = random.below(4); i >= 0; i--) {
    random.pick(MUTATIONS)(lines, random);
    if (lines.length === 0) lines.push("");
  }
  return lines.join("\n");
}
