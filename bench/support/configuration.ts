import { create } from "@bufbuild/protobuf";
import { createHash } from "node:crypto";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";

/** One service for so many entries; the rest are routes. */
const ENTRIES_PER_SERVICE = 10;
/** Routes that share a host. */
const ROUTES_PER_HOST = 8;
/** The host name that requests of a bench are for. */
export const TRAFFIC_HOST = "traffic.example.com";

/** Entries of about 250 bytes as they are stored: routes with a host, a path and tags, and their services. */
export function* configuration(entries: number): Generator<Resource> {
  for (let i = 0; i < entries; i++)
    yield i % ENTRIES_PER_SERVICE === 0 ? service(i) : route(i, 0);
}

/** A number that `changedRoute` takes, spread over all of a configuration. */
export function routeNumber(entries: number, i: number): number {
  const at = (i * 7919) % entries;
  return at % ENTRIES_PER_SERVICE === 0 ? at + 1 : at;
}

/** A route of a configuration, in another version. */
export function changedRoute(i: number, version: number): Resource {
  return route(i, version);
}

/** A service at an address and a route to it. */
export function trafficResources(port: number): readonly Resource[] {
  return [
    create(ResourceSchema, {
      kind: {
        case: "service",
        value: {
          id: idOf("traffic"),
          name: "traffic",
          host: "127.0.0.1",
          port,
        },
      },
    }),
    create(ResourceSchema, {
      kind: {
        case: "route",
        value: {
          id: idOf("traffic-route"),
          name: "traffic",
          hosts: [TRAFFIC_HOST],
          service: { id: idOf("traffic") },
        },
      },
    }),
  ];
}

function service(i: number): Resource {
  return create(ResourceSchema, {
    kind: {
      case: "service",
      value: {
        id: idOf(`service ${i}`),
        name: `team-${i % 97}-service-${i}`,
        host: `backend-${i}.internal.example.com`,
        port: 8080,
        path: `/api/v1/internal/${i}`,
        tags: [`team-${i % 97}`, "env-production", "managed-by-platform"],
      },
    },
  });
}

function route(i: number, version: number): Resource {
  const parent = i - (i % ENTRIES_PER_SERVICE);
  return create(ResourceSchema, {
    kind: {
      case: "route",
      value: {
        id: idOf(`route ${i}`),
        name: `team-${i % 97}-route-${i}`,
        hosts: [`api-${Math.floor(i / ROUTES_PER_HOST)}.example.com`],
        paths: [`/v1/things/${i}`],
        methods: ["GET", "POST"],
        service: { id: idOf(`service ${parent}`) },
        tags: [`team-${i % 97}`, `version-${version}`],
      },
    },
  });
}

/** A UUID that is the same in every run. */
export function idOf(text: string): string {
  const hash = createHash("sha256").update(text).digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join("-");
}
