import { create } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { idOf } from "./configuration.ts";

/** A route of the mix, the request that it is for, and how find-my-way is told of it. */
export interface MixedRoute {
  readonly id: string;
  readonly resource: Resource;
  readonly request: MixedRequest;
  readonly peer: PeerRoute | undefined;
}

/** A route in find-my-way's words. */
export interface PeerRoute {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly constraints: Readonly<Record<string, string>>;
}

/** A request as routers look at it. */
export interface MixedRequest {
  readonly method: "GET" | "POST";
  readonly host: string;
  readonly path: string;
  /** Of the header x-version; empty for none. */
  readonly version: string;
}

const ROUTES_PER_HOST = 8;
/** Expressions that have no beginning in common, however many routes there are. */
const WITHOUT_PREFIX = 100;
const TENANT = "some-team";

/** Of ten routes seven have a host and a prefix, one a prefix and a method, one a prefix and a header, one an expression. */
export function* routeMix(routes: number): Generator<MixedRoute> {
  for (let i = 0; i < routes; i++) yield mixedRoute(i, 0);
}

/** The service of all routes. */
export function mixService(): Resource {
  return create(ResourceSchema, {
    kind: {
      case: "service",
      value: { id: idOf("service"), name: "s", host: "backend.example.com" },
    },
  });
}

/** One route of the mix, in another version. */
export function mixedRoute(i: number, version: number): MixedRoute {
  const form = formOf(i);
  const id = idOf(`route ${i}`);
  return {
    id,
    request: { method: "GET", host: hostOf(i), version: "", ...form.request },
    peer: form.peer && { method: "GET", constraints: {}, ...form.peer },
    resource: create(ResourceSchema, {
      kind: {
        case: "route",
        value: {
          id,
          name: `route-${i}`,
          protocols: ["http", "https"],
          service: { id: idOf("service") },
          tags: [`version-${version}`],
          ...form.fields,
        },
      },
    }),
  };
}

/** A request that no route is for. */
export function missedRequest(i: number): MixedRequest {
  const method = "GET";
  const paths = [`/v1/things/${i}`, `/none/${i}/at/all`, `/m/none/${i}`];
  const host = i % 3 === 0 ? `other-${i}.example.com` : hostOf(i);
  return { method, host, path: paths[i % 3] ?? "/", version: "" };
}

interface Form {
  readonly fields: {
    readonly hosts?: string[];
    readonly paths: string[];
    readonly methods?: string[];
    readonly headers?: Record<string, { readonly values: string[] }>;
  };
  readonly request: Partial<MixedRequest> & { readonly path: string };
  readonly peer: (Partial<PeerRoute> & { readonly path: string }) | undefined;
}

function hostOf(i: number): string {
  return `api-${Math.floor(i / ROUTES_PER_HOST)}.example.com`;
}

function formOf(i: number): Form {
  switch (i % 10) {
    case 7: {
      const path = `/m/${i}`;
      return {
        fields: { paths: [path], methods: ["POST", "PUT"] },
        request: { path: `${path}/x`, method: "POST" },
        peer: { path: `${path}*`, method: "POST" },
      };
    }
    case 8: {
      const path = `/h/${i}`;
      const version = `v${i % 5}`;
      return {
        fields: {
          paths: [path],
          headers: { "x-version": { values: [version] } },
        },
        request: { path: `${path}/x`, version },
        peer: { path: `${path}*`, constraints: { xVersion: version } },
      };
    }
    case 9:
      return expression(Math.floor(i / 10));
    default: {
      const path = `/v1/things/${i}`;
      return {
        fields: { paths: [path], hosts: [hostOf(i)] },
        request: { path: `${path}/x` },
        peer: { path: `${path}*`, constraints: { host: hostOf(i) } },
      };
    }
  }
}

function expression(n: number): Form {
  const of = (source: string, path: string, peer?: string): Form => ({
    fields: { paths: [`~${source}`] },
    request: { path },
    peer: peer === undefined ? undefined : { path: peer },
  });
  if (n >= WITHOUT_PREFIX)
    return of(
      `/r${n}/users/(?<user>\\d+)$`,
      `/r${n}/users/42`,
      `/r${n}/users/:user(^\\d+$)`,
    );
  // Five that no text can be looked for in. find-my-way cannot tell two such from one another.
  if (n % 20 === 3) {
    const letters = 2 + Math.floor(n / 20);
    return of(
      `/[0-9]{6}/[a-z]{${letters}}$`,
      `/123456/${"abcdefgh".slice(0, letters)}`,
    );
  }
  switch (n % 3) {
    case 0:
      return of(
        `/[a-z0-9-]+/k${n}/(?<item>\\d+)`,
        `/${TENANT}/k${n}/42`,
        `/:team(^[a-z0-9-]+$)/k${n}/:item(^\\d+$)`,
      );
    case 1:
      return of(
        `/(?<lang>en|de|fr)/s${n}/`,
        `/de/s${n}/x`,
        `/:lang(^(?:en|de|fr)$)/s${n}/*`,
      );
    default:
      return of(`/\\w+/x${n}$`, `/abc/x${n}`, `/:word(^\\w+$)/x${n}`);
  }
}
