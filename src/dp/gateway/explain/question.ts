import { splitHostPort } from "../../../model/hosts.ts";
import { normalisePath } from "../../../model/paths.ts";
import type { RouteRequest } from "../router/conditions.ts";

/** A request that nobody sends: what would become of it? Plain data. */
export interface ExplainQuestion {
  readonly method: string;
  /** With scheme and host, or a path alone, of http and with a Host header. */
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The username or id of the consumer who sends it. Absent: nobody knows who does. */
  readonly consumer?: string;
}

/** A question, read as a request would be. */
export interface AskedRequest extends RouteRequest {
  readonly hostHeader: string;
  readonly rawQuery: string | undefined;
}

/** Reads a question; a sentence when it is no request. */
export function readQuestion(question: ExplainQuestion): AskedRequest | string {
  const { method, url } = question;
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(method))
    return `"${method}" is no method`;
  const match = /^(?:(https?):\/\/([^/?#]*))?([/?][^#]*)?$/i.exec(url);
  if (match === null || url === "")
    return `"${url}" is neither a URL of http or https nor a path`;
  const [, scheme = "http", authority, rest = "/"] = match;
  const headers = new Map<string, string[]>();
  for (const [name, value] of question.headers) {
    const lower = name.toLowerCase();
    const before = headers.get(lower);
    if (before === undefined) headers.set(lower, [value]);
    else before.push(value);
  }
  const hostHeader = headers.get("host")?.[0] ?? authority ?? "";
  const split = splitHostPort(hostHeader.toLowerCase());
  if (split === undefined) return `"${hostHeader}" is no host`;
  headers.set("host", [hostHeader]);
  const secure = scheme.toLowerCase() === "https";
  const target = rest.startsWith("/") ? rest : `/${rest}`;
  const [path = "", ...query] = target.split("?");
  const serverName = splitHostPort((authority ?? "").toLowerCase())?.host;
  return {
    method: method.toUpperCase(),
    scheme: secure ? "https" : "http",
    host: split.host,
    hostHeader,
    port: split.port ?? (secure ? 443 : 80),
    path: normalisePath(path),
    rawQuery: target.includes("?") ? query.join("?") : undefined,
    sni: secure && serverName !== "" ? serverName : undefined,
    header: (name) => headers.get(name) ?? [],
  };
}
