import {
  parseTemplate,
  type TemplateLookup,
  type TemplatePart,
} from "../../../model/plugins/templates.ts";
import type { Exchange } from "../plugin.ts";
import { parseArguments } from "./arguments.ts";

/** Makes a text for one request. */
export type Template = (values: TemplateValues) => string;

/** Reads a template that the rules have let through; any other stands for itself. */
export function compileTemplate(text: string): Template {
  const parsed = parseTemplate(text);
  if (!parsed.ok || parsed.parts.every(({ type }) => type === "text"))
    return () => text;
  const { parts } = parsed;
  return (values) => parts.map((part) => render(part, values)).join("");
}

function render(part: TemplatePart, values: TemplateValues): string {
  if (part.type === "text") return part.text;
  for (const alternative of part.alternatives) {
    if ("literal" in alternative) return alternative.literal;
    const value = values.lookUp(alternative);
    if (value !== undefined) return value;
  }
  return "";
}

/** What templates of one request can say: the request as it was before it was transformed. */
export class TemplateValues {
  readonly #exchange: Exchange;
  readonly #headers = new Map<string, string>();
  readonly #query: string | undefined;
  #arguments: ReadonlyMap<string, string> | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    const { headers, rawQuery } = exchange.upstream;
    this.#query = rawQuery;
    for (const name of headers.names())
      this.#headers.set(name.toLowerCase(), headers.get(name)[0] ?? "");
    const [host] = exchange.request.header("host");
    if (host !== undefined && !this.#headers.has("host"))
      this.#headers.set("host", host);
  }

  /** The first value there is; undefined for none. */
  lookUp({ source, path }: TemplateLookup): string | undefined {
    const [first = ""] = path;
    switch (source) {
      case "headers":
        return path.length === 1 ? this.#header(String(first)) : undefined;
      case "query_params":
        this.#arguments ??= firstArguments(this.#query);
        return path.length === 1
          ? this.#arguments.get(String(first))
          : undefined;
      case "uri_captures":
        return path.length === 1 ? this.#capture(first) : undefined;
      case "shared":
        return asText(within(this.#exchange.context.shared, path));
      default:
        return source satisfies never;
    }
  }

  #header(name: string): string | undefined {
    const lower = name.toLowerCase();
    return (
      this.#headers.get(lower) ?? this.#headers.get(lower.replaceAll("_", "-"))
    );
  }

  /** By name, or by number from 1. */
  #capture(step: string | number): string | undefined {
    const { groups, named } = this.#exchange.captures;
    return typeof step === "number" ? groups[step - 1] : named.get(step);
  }
}

function firstArguments(
  query: string | undefined,
): ReadonlyMap<string, string> {
  const first = new Map<string, string>();
  for (const { name, value } of parseArguments(query))
    if (!first.has(name)) first.set(name, value);
  return first;
}

function within(
  shared: ReadonlyMap<string, unknown>,
  [first = "", ...rest]: readonly (string | number)[],
): unknown {
  let value = shared.get(String(first));
  for (const step of rest) {
    if (typeof value !== "object" || value === null) return undefined;
    const key = Array.isArray(value) ? Number(step) - 1 : String(step);
    if (!Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

function asText(value: unknown): string | undefined {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
    case "boolean":
    case "bigint":
      return String(value);
    default:
      return undefined;
  }
}
