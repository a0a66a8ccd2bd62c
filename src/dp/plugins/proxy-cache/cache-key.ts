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
  const names = varyQueryParams.map((name) =>
    ignoreUriCase ? name.toLowerCase() : name,
  );
  const query = [...new URLSearchParams(request.rawQuery ?? "")]
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
