import { createHash } from "node:crypto";
import type { ProxyCacheConfig } from "../../../gen/holdfast/plugin/v1/proxy_cache_pb.js";
import type { Exchange } from "../plugin.ts";

/**
 * What tells answers apart: who asks by which route, method, host and path, and the arguments and headers that the
 * configuration names.
 */
export function cacheKey(
  { ignoreUriCase, varyQueryParams, varyHeaders }: ProxyCacheConfig,
  { request, route, consumer }: Exchange,
): string {
  const path = ignoreUriCase ? request.rawPath.toLowerCase() : request.rawPath;
  const names = varyQueryParams.map((name) => {
    const bytes = Buffer.from(name, "utf8").toString("latin1");
    return ignoreUriCase ? bytes.toLowerCase() : bytes;
  });
  const query = argumentsOf(request.rawQuery ?? "")
    .map(([name, value]) =>
      ignoreUriCase ? [name.toLowerCase(), value.toLowerCase()] : [name, value],
    )
    .filter(([name = ""]) => names.length === 0 || names.includes(name))
    // By name; arguments of one name stay in order.
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : a > b ? 1 : 0));
  const headers = varyHeaders
    .map((name) => name.toLowerCase())
    .sort()
    .map((name) => [name, request.header(name)]);
  return createHash("sha256")
    .update(
      JSON.stringify([
        consumer?.id ?? "",
        route.id,
        request.method,
        request.host,
        path,
        query,
        headers,
      ]),
    )
    .digest("hex");
}

/** The arguments, byte for byte: decoded as text, those that are no UTF-8 would all look the same. */
function argumentsOf(rawQuery: string): (readonly [string, string])[] {
  return rawQuery
    .split("&")
    .filter((argument) => argument !== "")
    .map((argument): readonly [string, string] => {
      const equals = argument.indexOf("=");
      return equals < 0
        ? [bytesOf(argument), ""]
        : [
            bytesOf(argument.slice(0, equals)),
            bytesOf(argument.slice(equals + 1)),
          ];
    });
}

function bytesOf(text: string): string {
  return Buffer.from(text.replaceAll("+", " "), "utf8")
    .toString("latin1")
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
}
