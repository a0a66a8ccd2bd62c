import { isRegexOrigin } from "../../../model/plugins/cors.ts";
import { compileRegex } from "../../../model/regex.ts";

/** Which origins a cors plugin allows. */
export type AllowedOrigins =
  | { readonly type: "any" }
  /** Sent to everyone, asked or not: a browser of another origin refuses the answer by itself. */
  | { readonly type: "one"; readonly origin: string }
  | { readonly type: "some"; readonly allows: (origin: string) => boolean };

/** What the configured list allows. Empty: any origin. */
export function allowedOrigins(entries: readonly string[]): AllowedOrigins {
  if (entries.length === 0 || entries.includes("*")) return { type: "any" };
  const [only] = entries;
  if (
    only !== undefined &&
    entries.length === 1 &&
    only.includes("://") &&
    !isRegexOrigin(only)
  )
    return { type: "one", origin: only };
  const tests = entries.map(testOf);
  return {
    type: "some",
    allows: (origin) => {
      const normalised = normaliseOrigin(origin);
      return (
        normalised !== undefined && tests.some((allows) => allows(normalised))
      );
    },
  };
}

interface Origin {
  /** "https://a.example:8443": in lower case, without the scheme's own port. */
  readonly text: string;
  readonly host: string;
}

function testOf(entry: string): (origin: Origin) => boolean {
  if (isRegexOrigin(entry)) return expressionTest(entry);
  if (!entry.includes("://")) {
    const host = entry.toLowerCase();
    return (origin) =>
      origin.host === host || origin.text.endsWith(`://${host}`);
  }
  const text = normaliseOrigin(entry)?.text ?? entry;
  return (origin) => origin.text === text;
}

/**
 * An expression must cover the whole origin or the whole host: one that may end anywhere would allow
 * "https://example.com.evil.test" by "https://example\.com".
 */
function expressionTest(source: string): (origin: Origin) => boolean {
  const whole = compileRegex(`^(?:${source})$`);
  // Only an unfinished quotation ("\Q…") compiles alone but not within a group.
  const compiled = whole.ok ? whole : compileRegex(source);
  if (!compiled.ok) throw new TypeError(compiled.reason);
  const { regex } = compiled;
  const covers = (text: string): boolean =>
    regex.matchStart(text)?.text === text;
  return ({ text, host }) => covers(text) || covers(host);
}

function normaliseOrigin(text: string): Origin | undefined {
  const parts =
    /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[^/:?#@[\]]+)(?::(\d+))?\/?$/.exec(
      text.toLowerCase(),
    );
  if (parts?.[1] === undefined || parts[2] === undefined) return undefined;
  const [, scheme, host, port] = parts;
  const own = port === undefined || OWN_PORTS.get(scheme) === port;
  return { text: `${scheme}://${host}${own ? "" : `:${port}`}`, host };
}

const OWN_PORTS = new Map([
  ["http", "80"],
  ["https", "443"],
]);
