import { Code, type ConnectError } from "@connectrpc/connect";
import type { HttpRequest } from "../../runtime/http-listener.ts";
import type { StatusHandler } from "../../runtime/status.ts";

/** Whether it lives and can work: for probes, which have no tokens. */
const FOR_ANYBODY: ReadonlySet<string> = new Set([
  "/status/live",
  "/status/ready",
]);

/** Status pages for those who may see them; the ones for probes are for anybody. */
export function guardStatus(
  pages: StatusHandler,
  mayLook: (request: HttpRequest) => ConnectError | undefined,
): StatusHandler {
  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    const refused = FOR_ANYBODY.has(path) ? undefined : mayLook(request);
    if (refused === undefined) return pages(request, response);
    response.statusCode = refused.code === Code.Unauthenticated ? 401 : 403;
    if (refused.code === Code.Unauthenticated)
      response.setHeader("www-authenticate", "Bearer");
    response.setHeader("content-type", "application/json");
    response.setHeader("cache-control", "no-store");
    response.end(`${JSON.stringify({ message: refused.rawMessage })}\n`);
    return true;
  };
}
