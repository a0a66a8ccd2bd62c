import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { id, resource } from "./resources.ts";

/** What a test says about its service and its route; the rest is plain. */
export interface ApiFields {
  readonly service?: object;
  readonly route?: object;
}

/** One service on a local port (id 1) with one route (id 2) for all paths that begin with "/api". */
export function api(
  port: number,
  { service = {}, route = {} }: ApiFields = {},
): Resource[] {
  return [
    resource("service", {
      id: id(1),
      name: "service",
      host: "127.0.0.1",
      port,
      ...service,
    }),
    resource("route", {
      id: id(2),
      name: "route",
      paths: ["/api"],
      service: { id: id(1) },
      ...route,
    }),
  ];
}

/** A plugin on that route. */
export function routePlugin(
  number: number,
  name: string,
  config: object = {},
  fields: object = {},
): Resource {
  return resource("plugin", {
    id: id(number),
    name,
    route: { id: id(2) },
    config: config as Record<string, never>,
    ...fields,
  });
}
