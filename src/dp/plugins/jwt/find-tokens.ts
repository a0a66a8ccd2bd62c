import type { JwtConfig } from "../../../gen/holdfast/plugin/v1/jwt_pb.js";
import type { ClientRequest } from "../plugin.ts";

/** The different tokens that a request has in its query, its cookies and its headers. */
export function findTokens(
  config: JwtConfig,
  request: ClientRequest,
): ReadonlySet<string> {
  const tokens = new Set<string>();
  const { rawQuery } = request;
  if (rawQuery !== undefined && config.uriParamNames.length > 0) {
    const query = new URLSearchParams(rawQuery);
    for (const name of config.uriParamNames)
      for (const token of query.getAll(name)) tokens.add(token);
  }
  if (config.cookieNames.length > 0)
    for (const [name, value] of cookiesOf(request))
      if (config.cookieNames.includes(name)) tokens.add(value);
  for (const name of config.headerNames)
    for (const value of request.header(name.toLowerCase())) {
      const text = value.trim();
      // Two steps: one expression for both would try every run of spaces again from each of its spaces.
      const scheme = /^bearer\s+/i.exec(text)?.[0];
      if (scheme !== undefined) tokens.add(text.slice(scheme.length));
    }
  tokens.delete("");
  return tokens;
}

function cookiesOf(request: ClientRequest): (readonly [string, string])[] {
  return request.header("cookie").flatMap((header) =>
    header.split(";").map((cookie): readonly [string, string] => {
      const equals = cookie.indexOf("=");
      return [
        cookie.slice(0, Math.max(equals, 0)).trim(),
        cookie
          .slice(equals + 1)
          .trim()
          .replace(/^"(.*)"$/, "$1"),
      ];
    }),
  );
}
