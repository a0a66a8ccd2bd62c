import { RE2JS, RE2JSSyntaxException } from "re2js";
import { show } from "./problem.ts";
import { MAX_REGEX_SIZE, regexSize } from "./regex-size.ts";

/** A compiled regular expression in RE2 syntax: matching takes time in proportion to the text, whatever the expression. */
export interface Regex {
  readonly source: string;
  /** The match that begins where the text begins. */
  readonly matchStart: (text: string) => RegexMatch | undefined;
  /** Whether there is a match anywhere in the text. */
  readonly test: (text: string) => boolean;
}

/** What matched. */
interface RegexMatch {
  readonly text: string;
  /** The capturing groups, the first at 0; undefined for those that took no part. */
  readonly groups: readonly (string | undefined)[];
  /** The named groups that took part. */
  readonly named: ReadonlyMap<string, string>;
}

/** Compiles an expression, or says what is wrong with it. */
export function compileRegex(
  source: string,
):
  | { readonly ok: true; readonly regex: Regex }
  | { readonly ok: false; readonly reason: string } {
  let compiled: RE2JS;
  const size = regexSize(source);
  if (size > MAX_REGEX_SIZE)
    return { ok: false, reason: tooLarge(source, size) };
  try {
    compiled = RE2JS.compile(source);
  } catch (error) {
    if (error instanceof RE2JSSyntaxException)
      return { ok: false, reason: reasonOf(source, error) };
    throw error;
  }
  const names = Object.entries(compiled.namedGroups());
  const groupCount = compiled.groupCount();
  // An expression that is often tried in vain gets a second form, which only says whether there is a match: that costs
  // a fifth.
  let inVain = 0;
  let atStart: RE2JS | undefined;
  const mayStart = (text: string): boolean => {
    if (inVain < OFTEN) return true;
    atStart ??= RE2JS.compile(`\\A(?:${source})`);
    return atStart.test(text);
  };
  return {
    ok: true,
    regex: {
      source,
      matchStart: (text) => {
        if (!mayStart(text)) return undefined;
        const matcher = compiled.matcher(text);
        if (!matcher.lookingAt()) {
          // A quotation without an end would take in what is put behind it.
          if (!source.includes("\\Q")) inVain++;
          return undefined;
        }
        const groups: (string | undefined)[] = [];
        for (let i = 1; i <= groupCount; i++)
          groups.push(matcher.group(i) ?? undefined);
        const named = new Map<string, string>();
        for (const [name, index] of names) {
          const value = groups[index - 1];
          if (value !== undefined) named.set(name, value);
        }
        return { text: matcher.group() ?? "", groups, named };
      },
      test: (text) => compiled.test(text),
    },
  };
}

const OFTEN = 3;

function tooLarge(source: string, size: number): string {
  const shown = source.length > SHOWN ? `${source.slice(0, SHOWN)}…` : source;
  return `${show(shown)} is too large: with its repeats written out it is about ${size} characters, classes and choices, and may be ${MAX_REGEX_SIZE}; take fewer or smaller repeats, or several expressions`;
}

const SHOWN = 100;

/** RE2's own words, but with a name for what Perl's engines have and RE2 has not. */
function reasonOf(source: string, error: RE2JSSyntaxException): string {
  const where = error.input ?? "";
  const around = /^\(\?<?[=!]/.exec(where);
  if (around !== null)
    return `${show(source)} uses look-around (${show(around[0])}), which RE2 syntax does not have`;
  if (/^\\[1-9kg]/.test(where) || source.includes("(?P="))
    return `${show(source)} uses a back-reference (${show(where)}), which RE2 syntax does not have`;
  const what = where === "" ? error.error : `${error.error} ${show(where)}`;
  return `${show(source)} is not a regular expression in RE2 syntax: ${what}`;
}
