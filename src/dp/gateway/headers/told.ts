import type { MutableHeaders } from "../../plugins/plugin.ts";
import type { ServedRoute, ServedService } from "../runtime.ts";
import type { HeaderSettings, OwnHeaders } from "./header-settings.ts";

const REVISION = "X-Holdfast-Revision";

/** A route and where it leads. */
export interface Matched {
  readonly route: ServedRoute;
  readonly service: ServedService | undefined;
}

/**
 * The headers of our own that an answer gets.
 *
 * @param asked Whether the client asks which route and service it met.
 */
export function ownHeaders(
  { plain, revision, debug }: HeaderSettings,
  asked: boolean,
  served: bigint | undefined,
  matched: Matched | undefined,
): OwnHeaders {
  const told = debug && asked ? matched : undefined;
  if (!revision && told === undefined) return plain;
  return {
    ...plain,
    tell: (headers) => {
      if (revision && served !== undefined)
        headers.set(REVISION, String(served));
      if (told !== undefined) tellRoute(headers, told);
    },
  };
}

function tellRoute(headers: MutableHeaders, { route, service }: Matched): void {
  headers.set("Kong-Route-Id", route.id);
  if (route.name !== "") headers.set("Kong-Route-Name", route.name);
  if (service === undefined) return;
  headers.set("Kong-Service-Id", service.id);
  if (service.name !== "") headers.set("Kong-Service-Name", service.name);
}
