import type { Linker } from "./linker.ts";

/** A service that is disabled, or of a protocol that is not proxied, takes its routes with it. */
export const routeLinker: Linker<"route"> = {
  link({ route, service }, at) {
    if (service === undefined || at.find.isNamed("served service", service))
      return route;
    if (!at.find.exists("service", service))
      at.dangling("service", "service", service);
    return undefined;
  },
};
