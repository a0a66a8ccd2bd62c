/** How many instructions an expression may have. Matching takes time in proportion to them and to the text. */
export const MAX_REGEX_SIZE = 2_000;

/** What is put together of atoms: the sum of all before the last, and the last, which a count behind it multiplies. */
interface Sum {
  before: number;
  last: number;
  /** What the group adds itself: one that captures has an instruction at each of its ends. */
  readonly ends: number;
}

/**
 * About how many instructions an expression compiles to, without compiling it: a counted repeat stands for that many
 * copies, and one of a thousand inside of many others would take the memory before anybody could ask the program for its
 * size. Of a text that is no expression the number means nothing.
 */
export function regexSize(source: string): number {
  const outer: Sum[] = [];
  let sum: Sum = { before: 0, last: 0, ends: 0 };
  const atom = (size: number): void => {
    sum.before += sum.last;
    sum.last = size;
  };
  for (let at = 0; at < source.length;) {
    const char = source.charAt(at);
    if (char === "\\" && source.charAt(at + 1) === "Q") {
      const end = source.indexOf("\\E", at + 2);
      const quoted = (end < 0 ? source.length : end) - at - 2;
      atom(quoted);
      at += quoted + 4;
      continue;
    }
    if (char === "(") {
      outer.push(sum);
      const captures = !source.startsWith("(?:", at);
      sum = { before: 0, last: 0, ends: captures ? 2 : 0 };
      if (!captures) at += 2;
    } else if (char === ")") {
      const inner = sum.before + sum.last + sum.ends;
      sum = outer.pop() ?? sum;
      atom(inner);
    } else if (char === "{") {
      const [text = "", first, comma, second] = matchAt(COUNT, source, at);
      if (text !== "") {
        const least = Number(first);
        const most = comma === undefined ? least : Number(second);
        // Refused for itself, in clearer words.
        if (Math.max(least, most) > MAX_COUNT) return 0;
        sum.last =
          sum.last * Math.max(1, least, most) + Math.max(1, most - least);
        at += text.length;
        continue;
      }
      atom(1);
    } else if (!"*+?^$".includes(char)) atom(1);
    else sum.last += 1;
    at += matchAt(ATOM, source, at)[0]?.length ?? 1;
  }
  return [...outer, sum].reduce(
    (total, { before, last }) => total + before + last,
    0,
  );
}

/** RE2 repeats nothing more often. */
const MAX_COUNT = 1_000;

const COUNT = /\{(\d+)(?:(,)(\d*))?\}/y;

/** Longer than one character: an escape, or a class. */
const ATOM = /\\(?:[pPx]\{[^}]*\}|.)|\[\^?\]?(?:\[:[^\]]*:\]|\\.|[^\\\]])*\]/sy;

function matchAt(
  pattern: RegExp,
  text: string,
  at: number,
): readonly (string | undefined)[] {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? [];
}
