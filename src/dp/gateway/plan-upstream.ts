import type { Forwarded } from "./headers/forwarded.ts";
import type { RequestTarget } from "./proxy/inbound.ts";
import type { OutboundRequest } from "./proxy/outbound.ts";
import type { PathMatch } from "./router/conditions.ts";
import type { ServedRoute, ServedService } from "./runtime.ts";
import { upstreamPath } from "./upstream-path.ts";

/** Tells where the request will go, unless a plugin says otherwise. */
export function planPath(
  upstream: OutboundRequest,
  {
    route: { stripPath: strip, pathHandling: version },
    service,
    path: { prefix },
  }: {
    readonly route: ServedRoute;
    readonly service: ServedService;
    readonly path: PathMatch;
  },
  target: RequestTarget,
  forwarded: Forwarded | undefined,
): void {
  if (
    strip &&
    prefix !== "" &&
    prefix !== "/" &&
    forwarded?.prefix === undefined
  )
    upstream.headers.set("X-Forwarded-Prefix", prefix);
  upstream.planPath(() =>
    upstreamPath(target.path, prefix, {
      servicePath: service.path,
      strip,
      version,
    }),
  );
}

/** The Host header that goes upstream, when it is not the target's: a plugin's, or the client's. */
export function hostToSend(
  { preserveHost }: ServedRoute,
  { hostHeader }: RequestTarget,
  { headers }: OutboundRequest,
): string | undefined {
  const [host] = headers.get("Host");
  if (host !== undefined) return host;
  return preserveHost && hostHeader !== "" ? hostHeader : undefined;
}
