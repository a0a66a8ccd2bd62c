/** Texts that a path must have in it for an expression to match: looking for them is cheaper than to try the expression. */
export interface RequiredTexts {
  /** All of them are needed, the longest first. */
  readonly texts: readonly string[];
  /** They are in lower case, and so must the path be. */
  readonly ignoresCase: boolean;
}

const NOTHING: RequiredTexts = { texts: [], ignoresCase: false };

/** More than so many would cost more than they save. */
const MOST_TEXTS = 2;
const SHORTEST_TEXT = 2;

/**
 * Texts that stand in every match of an expression in RE2 syntax, as far as that is easily seen. It may find fewer than
 * there are, never one that is not there. For texts in ASCII, as normalised paths are.
 *
 * @param known What the text is known to begin with: it is not worth looking for.
 */
export function requiredTexts(source: string, known = ""): RequiredTexts {
  const reader = new Reader(source);
  let runs: readonly string[];
  try {
    runs = reader.alternatives();
  } catch (error) {
    if (error === UNCLEAR) return NOTHING;
    throw error;
  }
  if (!reader.atEnd) return NOTHING;
  const { ignoresCase } = reader;
  const texts = runs
    .filter((run) => run.length >= SHORTEST_TEXT && !known.includes(run))
    .map((run) => (ignoresCase ? run.toLowerCase() : run))
    .sort((a, b) => b.length - a.length);
  return { texts: [...new Set(texts)].slice(0, MOST_TEXTS), ignoresCase };
}

/** Thrown where the reader does not know its way. */
const UNCLEAR = new Error("unclear");

/** Escapes of a letter that stand for a class, an assertion or a control character, and have nothing after them. */
const PLAIN_ESCAPES = "AbBdDsSwWzafnrtv";

/** One character, or something that is not one. Undefined runs are what ends a text. */
type Atom =
  | { readonly type: "character"; readonly character: string }
  | { readonly type: "group"; readonly runs: readonly string[] }
  | { readonly type: "other" };

const OTHER: Atom = { type: "other" };

class Reader {
  readonly #source: string;
  #at = 0;
  /** Whether any part of it does: then all of it is taken to. */
  ignoresCase = false;

  constructor(source: string) {
    this.#source = source;
  }

  get atEnd(): boolean {
    return this.#at >= this.#source.length;
  }

  /** Reads up to the end or a ")". With more than one alternative nothing is sure. */
  alternatives(): readonly string[] {
    const first = this.#sequence();
    let only = true;
    while (this.#peek() === "|") {
      this.#at++;
      only = false;
      this.#sequence();
    }
    return only ? first : [];
  }

  #sequence(): readonly string[] {
    const runs: string[] = [];
    let run = "";
    const end = (): void => {
      if (run !== "") runs.push(run);
      run = "";
    };
    while (!this.atEnd && this.#peek() !== "|" && this.#peek() !== ")") {
      const atom = this.#atom();
      const times = this.#quantifier();
      if (atom.type === "character" && times !== "maybe") {
        run += atom.character;
        if (times === "once") continue;
      }
      end();
      if (atom.type === "group" && times !== "maybe") runs.push(...atom.runs);
    }
    end();
    return runs;
  }

  #atom(): Atom {
    const character = this.#next();
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        this.#class();
        return OTHER;
      case ".":
      case "^":
      case "$":
        return OTHER;
      case "\\":
        return this.#escape();
      case "*":
      case "+":
      case "?":
        throw UNCLEAR;
      default:
        return { type: "character", character };
    }
  }

  #group(): Atom {
    const head =
      /^\?(?:P?<[A-Za-z0-9_]+>|(?<flags>[A-Za-z-]*)(?<inner>[:)]))/.exec(
        this.#source.slice(this.#at, this.#at + 64),
      );
    if (head === null && this.#peek() === "?") throw UNCLEAR;
    this.#at += head?.[0].length ?? 0;
    const { flags = "", inner = ":" } = head?.groups ?? {};
    if (flags.includes("i")) this.ignoresCase = true;
    // Flags alone, for what follows; a quantifier after them would be for what stands before them.
    if (inner === ")") {
      if ("*+?{".includes(this.#peek() || " ")) throw UNCLEAR;
      return OTHER;
    }
    const runs = this.alternatives();
    if (this.#next() !== ")") throw UNCLEAR;
    return { type: "group", runs };
  }

  #class(): void {
    if (this.#peek() === "^") this.#at++;
    if (this.#peek() === "]") this.#at++;
    for (;;) {
      const character = this.#next();
      if (character === "]") return;
      if (character === "\\") {
        // Its end would be elsewhere in a quotation.
        if (this.#next() === "Q") throw UNCLEAR;
      } else if (character === "[" && this.#peek() === ":") {
        const end = this.#source.indexOf(":]", this.#at);
        if (end < 0) throw UNCLEAR;
        this.#at = end + 2;
      }
    }
  }

  #escape(): Atom {
    const character = this.#next();
    if (/[^A-Za-z0-9]/.test(character)) return { type: "character", character };
    if (PLAIN_ESCAPES.includes(character)) return OTHER;
    throw UNCLEAR;
  }

  /** How often the atom before it stands there at least. */
  #quantifier(): "once" | "more" | "maybe" {
    let times: "once" | "more" | "maybe" = "once";
    for (;;) {
      const repeat = /^\{(\d+)(?:,\d*)?\}/.exec(
        this.#source.slice(this.#at, this.#at + 16),
      );
      const sign = this.#peek();
      if (repeat !== null) {
        this.#at += repeat[0].length;
        if (Number(repeat[1]) === 0) times = "maybe";
        else if (times === "once") times = "more";
      } else if (sign === "+") {
        this.#at++;
        if (times === "once") times = "more";
      } else if (sign === "*" || sign === "?") {
        this.#at++;
        // After another quantifier a "?" only says which match is taken.
        if (times === "once" || sign === "*") times = "maybe";
      } else return times;
    }
  }

  #peek(): string {
    return this.#source.charAt(this.#at);
  }

  #next(): string {
    if (this.atEnd) throw UNCLEAR;
    return this.#source.charAt(this.#at++);
  }
}
