/** What a template looks a value up in. */
type TemplateSource = "headers" | "query_params" | "uri_captures" | "shared";

/** What is looked up: where, and by which names or numbers. */
export interface TemplateLookup {
  readonly source: TemplateSource;
  readonly path: readonly (string | number)[];
}

/** A part of a template: text, or alternatives of which the first that has a value counts. */
export type TemplatePart =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "value";
      readonly alternatives: readonly (
        TemplateLookup | { readonly literal: string }
      )[];
    };

/** A template that was read, or why it cannot be. */
export type ParsedTemplate =
  | { readonly ok: true; readonly parts: readonly TemplatePart[] }
  | { readonly ok: false; readonly reason: string };

/**
 * Reads a template: text in which `$(…)` is replaced. Inside are lookups such as `headers.x`, `headers["x-y"]`,
 * `uri_captures[1]` and quoted texts, joined by `or`. It is not Lua: there are no calls and no operators.
 */
export function parseTemplate(template: string): ParsedTemplate {
  const parts: TemplatePart[] = [];
  let rest = template;
  for (;;) {
    const start = rest.indexOf("$(");
    if (start < 0) break;
    if (start > 0) parts.push({ type: "text", text: rest.slice(0, start) });
    const inner = INSIDE.exec(rest.slice(start));
    const alternatives =
      inner === null ? undefined : alternativesOf(inner[1] ?? "");
    if (inner === null || alternatives === undefined)
      return {
        ok: false,
        reason: `${JSON.stringify(rest.slice(start, start + 80))} is not one of the lookups that templates have: headers, query_params, uri_captures and shared, as in $(headers["x-y"] or "none"). Lua is not run`,
      };
    parts.push({ type: "value", alternatives });
    rest = rest.slice(start + inner[0].length);
  }
  if (rest !== "") parts.push({ type: "text", text: rest });
  return { ok: true, parts };
}

const TERM =
  /\s*(?:"([^"\\]*)"|'([^'\\]*)'|(headers|query_params|uri_captures|shared)((?:\s*\.\s*[A-Za-z_][\w-]*|\s*\[\s*(?:"[^"\\]*"|'[^'\\]*'|\d{1,4})\s*\])+))\s*/y;
const STEP =
  /\.\s*([A-Za-z_][\w-]*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)'|(\d+))\s*\]/g;
const INSIDE = /^\$\(((?:"[^"]*"|'[^']*'|[^()"'])*)\)/;

function alternativesOf(
  text: string,
): Extract<TemplatePart, { type: "value" }>["alternatives"] | undefined {
  const found: (TemplateLookup | { literal: string })[] = [];
  let at = 0;
  for (;;) {
    TERM.lastIndex = at;
    const term = TERM.exec(text);
    if (term === null) return undefined;
    const [whole, double, single, source, steps] = term;
    if (source === undefined) found.push({ literal: double ?? single ?? "" });
    else
      found.push({
        source: source as TemplateSource,
        path: [...(steps ?? "").matchAll(STEP)].map(
          ([, dotted, inDouble, inSingle, index]) =>
            index === undefined
              ? (dotted ?? inDouble ?? inSingle ?? "")
              : Number(index),
        ),
      });
    at += whole.length;
    if (at === text.length) return found;
    if (!/^or\b/.test(text.slice(at))) return undefined;
    at += 2;
  }
}
