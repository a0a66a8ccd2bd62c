import { create } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { idOf } from "../support/configuration.ts";

const ROUTES_PER_SERVICE = 10;
const ROUTES_PER_HOST = 8;
/** Different requests that a load goes round. */
const REQUESTS = 1024;
const KEY = "a-key-of-the-bench";

/** Routes with a host and a path each, all to one address; with plugins, for all of them: whoever calls needs a key. */
export function* proxyConfiguration(
  routes: number,
  plugins: readonly string[],
  upstreamPort: number,
): Generator<Resource> {
  for (let i = 0; i < routes; i += ROUTES_PER_SERVICE)
    yield create(ResourceSchema, {
      kind: {
        case: "service",
        value: {
          id: idOf(`service ${i}`),
          name: `service-${i}`,
          host: "127.0.0.1",
          port: upstreamPort,
          path: "/internal",
        },
      },
    });
  for (let i = 0; i < routes; i++) yield proxyRoute(i, 0);
  if (plugins.length === 0) return;
  yield create(ResourceSchema, {
    kind: {
      case: "consumer",
      value: { id: idOf("consumer"), username: "bench" },
    },
  });
  yield create(ResourceSchema, {
    kind: {
      case: "keyauthCredential",
      value: {
        id: idOf("key"),
        key: KEY,
        consumer: { id: idOf("consumer") },
      },
    },
  });
  for (const name of plugins)
    yield create(ResourceSchema, {
      kind: {
        case: "plugin",
        value: {
          id: idOf(`plugin ${name}`),
          name,
          config: CONFIGS[name] ?? {},
        },
      },
    });
}

const CONFIGS: Readonly<Record<string, Record<string, string | number>>> = {
  // Never reached: what is measured is the counting.
  "rate-limiting": { hour: 2_000_000_000, policy: "local" },
};

/** One of the routes, in one of its versions. */
export function proxyRoute(i: number, version: number): Resource {
  return create(ResourceSchema, {
    kind: {
      case: "route",
      value: {
        id: idOf(`route ${i}`),
        name: `route-${i}`,
        hosts: [hostOf(i)],
        paths: [pathOf(i)],
        service: { id: idOf(`service ${i - (i % ROUTES_PER_SERVICE)}`) },
        tags: [`version-${version}`],
      },
    },
  });
}

/** Requests spread over all the routes. */
export function proxyRequests(routes: number): string[] {
  return Array.from({ length: Math.min(routes, REQUESTS) }, (_, n) => {
    const i = (n * 7919) % routes;
    return [
      `GET ${pathOf(i)}/details?page=2 HTTP/1.1`,
      `Host: ${hostOf(i)}`,
      "User-Agent: bench/1.0",
      "Accept: */*",
      `apikey: ${KEY}`,
      "",
      "",
    ].join("\r\n");
  });
}

function hostOf(i: number): string {
  return `api-${Math.floor(i / ROUTES_PER_HOST)}.example.com`;
}

function pathOf(i: number): string {
  return `/v1/things/${i}`;
}
