/** Characters that stand for themselves in an expression, whatever comes before them. */
const LITERAL = /^[A-Za-z0-9/_~%@:;,&='"!<>#-]$/;
const QUANTIFIERS = "*+?{";

/**
 * Text that every match of an expression begins with. It may be shorter than it could be, never wrong: an index by it
 * finds every expression that can match.
 */
export function literalPrefix(source: string): string {
  // An alternative anywhere might be one of the whole expression; \Q quotes what looks like anything.
  if (source.includes("|") && !alternativesAreInner(source)) return "";
  let prefix = "";
  let at = source.startsWith("^") ? 1 : 0;
  while (at < source.length) {
    let character = source.charAt(at);
    let length = 1;
    if (character === "\\") {
      // Only punctuation: letters and digits after a backslash are classes and assertions.
      character = source.charAt(at + 1);
      if (!/^[^A-Za-z0-9\s]$/.test(character)) break;
      length = 2;
    } else if (!LITERAL.test(character)) break;
    if (QUANTIFIERS.includes(source.charAt(at + length) || "\0")) break;
    prefix += character;
    at += length;
  }
  // A quantifier looks through these to what stands before them.
  const hidden = /^(\(\?[A-Za-z-]*\)|\\[QE])/.test(source.slice(at));
  return hidden ? prefix.slice(0, -1) : prefix;
}

/** Whether every "|" stands within a group or a class. */
function alternativesAreInner(source: string): boolean {
  let depth = 0;
  let inClass = false;
  for (let i = 0; i < source.length; i++) {
    const character = source.charAt(i);
    if (character === "\\") {
      if (source.charAt(i + 1) === "Q") return false;
      i++;
    } else if (inClass) {
      // "]" first in a class stands for itself: then this ends too early, and a "|" after it counts as an outer one.
      if (character === "]") inClass = false;
    } else if (character === "[") inClass = true;
    else if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === "|" && depth <= 0) return false;
  }
  return true;
}
