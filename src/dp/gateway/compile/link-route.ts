import type { Linker } from "./linker.ts";

/** A service that is disabled, or of a protocol that is not proxied, takes its routes with it. */
export const routeLinker: Linker<"route"> = {
  link({ route, service }, { find, dangling }) {
    if (service === undefined || find.isNamed("served service", service))
      return route;
    if (!find.exists("service", service))
      dangling("service", "service", service);
    return undefined;
  },
};
