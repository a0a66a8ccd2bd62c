import type { Upstream } from "../../../../gen/holdfast/config/v1/upstream_pb.js";

/** What of a request can be hashed. Read only where an upstream asks for it. */
export interface HashFacts {
  /** The consumer's id, else the credential's; empty without either. */
  readonly consumer: string;
  /** The client's address. */
  readonly clientIp: string;
  /** Normalised, without query. */
  readonly path: string;
  /** What follows the "?"; undefined for no "?". */
  readonly rawQuery: string | undefined;
  /** What the route's expression captured: by number, from 0 for the whole, and by name. */
  readonly captures: {
    readonly groups: readonly (string | undefined)[];
    readonly named: ReadonlyMap<string, string>;
  };
  /** All values of a header; the name is in lower case. */
  header(name: string): readonly string[];
}

/** One input of a hash. */
type HashOn =
  | { readonly type: "none" | "consumer" | "ip" | "path" }
  | {
      readonly type: "header" | "query_arg" | "uri_capture";
      readonly name: string;
    }
  | { readonly type: "cookie"; readonly name: string; readonly path: string };

/** What an upstream's requests are told apart by. */
export interface HashInput {
  readonly on: HashOn;
  /** Asked when that yields nothing. */
  readonly fallback: HashOn;
}

/** Reads what an upstream whose defaults are filled in hashes. */
export function hashInput(upstream: Upstream): HashInput {
  const { hashOnCookie, hashOnCookiePath = "/" } = upstream;
  const make = (
    type: string,
    names: Readonly<Record<"header" | "query_arg" | "uri_capture", string>>,
  ): HashOn => {
    switch (type) {
      case "consumer":
      case "ip":
      case "path":
        return { type };
      case "header":
        return { type, name: names.header.toLowerCase() };
      case "query_arg":
      case "uri_capture":
        return { type, name: names[type] };
      case "cookie":
        return { type, name: hashOnCookie, path: hashOnCookiePath };
      default:
        return { type: "none" };
    }
  };
  return {
    on: make(upstream.hashOn ?? "none", {
      header: upstream.hashOnHeader,
      query_arg: upstream.hashOnQueryArg,
      uri_capture: upstream.hashOnUriCapture,
    }),
    fallback: make(upstream.hashFallback ?? "none", {
      header: upstream.hashFallbackHeader,
      query_arg: upstream.hashFallbackQueryArg,
      uri_capture: upstream.hashFallbackUriCapture,
    }),
  };
}

/** The text to hash; empty when there is none. */
export interface HashText {
  readonly text: string;
  /** A cookie that was made up for a client without one, as the value of Set-Cookie. */
  readonly setCookie?: string;
}

/** What a request is told apart by. @param mint Makes a value for a cookie. */
export function hashText(
  { on, fallback }: HashInput,
  facts: HashFacts,
  mint: () => string,
): HashText {
  const first = textOf(on, facts, mint);
  return first.text === "" ? textOf(fallback, facts, mint) : first;
}

function textOf(on: HashOn, facts: HashFacts, mint: () => string): HashText {
  switch (on.type) {
    case "none":
      return NOTHING;
    case "consumer":
      return { text: facts.consumer };
    case "ip":
      return { text: facts.clientIp };
    case "path":
      return { text: facts.path };
    case "header":
      return { text: facts.header(on.name).join("") };
    case "query_arg":
      return { text: argumentText(facts.rawQuery, on.name) };
    case "uri_capture":
      return { text: captureText(facts.captures, on.name) };
    case "cookie": {
      const sent = cookieOf(facts.header("cookie"), on.name);
      if (sent !== "") return { text: sent };
      const text = mint();
      return { text, setCookie: `${on.name}=${text}; Path=${on.path}` };
    }
    default:
      on satisfies never;
      return NOTHING;
  }
}

const NOTHING: HashText = { text: "" };

/** All values of an argument in one order, whatever order they came in. */
function argumentText(rawQuery: string | undefined, name: string): string {
  if (rawQuery === undefined) return "";
  return new URLSearchParams(rawQuery).getAll(name).sort().join("");
}

function captureText(
  { groups, named }: HashFacts["captures"],
  name: string,
): string {
  const text = /^\d+$/.test(name) ? groups[Number(name)] : named.get(name);
  return text ?? "";
}

/** The first cookie of a name, as it was sent; empty when there is none. */
function cookieOf(headers: readonly string[], name: string): string {
  for (const header of headers)
    for (const pair of header.split(";")) {
      const equals = pair.indexOf("=");
      if (equals > 0 && pair.slice(0, equals).trim() === name)
        return pair.slice(equals + 1).trim();
    }
  return "";
}
