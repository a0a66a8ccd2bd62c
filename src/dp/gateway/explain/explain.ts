import type { JsonObject } from "@bufbuild/protobuf";
import type { Slices } from "../../../model/slices.ts";
import { matchPath } from "../router/conditions.ts";
import { compareRanks, rankOf } from "../router/priority.ts";
import type { Runtime, ServedRoute, ServedService } from "../runtime.ts";
import { addressText } from "../upstreams/peer.ts";
import { Balancer } from "../upstreams/balancer.ts";
import { upstreamPath } from "../upstream-path.ts";
import { hostText, lacksOf, pathText, precedence } from "./lacks.ts";
import { consumerOf, describeConsumer, pluginsOf } from "./plugins.ts";
import {
  readQuestion,
  type AskedRequest,
  type ExplainQuestion,
} from "./question.ts";

/** What would become of a request, and why; or a sentence about what is wrong with the question. */
export type Explained =
  | { readonly ok: true; readonly explanation: JsonObject }
  | { readonly ok: false; readonly reason: string };

/** Other routes that are told of, at most. */
const MAX_CONSIDERED = 20;
/** Routes looked at between two yields. */
const SLICE_ROUTES = 64;

interface Considered {
  readonly route: ServedRoute;
  /** Empty for one that is met too, and comes later. */
  readonly lacks: readonly string[];
}

/**
 * Says what would become of a request, without sending anything and without moving any balancer on. All routes are looked
 * at: the answer has those that the request meets too, and then those it fails to meet by the least.
 */
export function* explainSlices(
  runtime: Runtime,
  question: ExplainQuestion,
): Slices<Explained> {
  const request = readQuestion(question);
  if (typeof request === "string") return { ok: false, reason: request };
  const consumer = consumerOf(runtime, question);
  if (typeof consumer === "string") return { ok: false, reason: consumer };
  const found = runtime.router.match(request);
  const others = yield* consider(runtime, request, found?.route);
  const base = {
    revision: String(runtime.cursor.revision),
    request: {
      method: request.method,
      scheme: request.scheme,
      host: request.host,
      port: request.port,
      path: request.path,
      query: request.rawQuery ?? null,
    },
    consumer: consumer === undefined ? null : describeConsumer(consumer),
    considered: others.map(({ route, lacks }) => ({
      ...named(route),
      lacks: [...lacks],
      ...(lacks.length === 0 && found !== undefined
        ? { behind: precedence(found.route, route) }
        : {}),
    })),
  };
  if (found === undefined)
    return {
      ok: true,
      explanation: {
        ...base,
        outcome: answered(404, "no Route matched with those values"),
        route: null,
        plugins: pluginsOf(runtime, undefined, undefined, undefined),
        service: null,
        target: null,
      },
    };
  const { route } = found;
  const service =
    route.serviceId === undefined
      ? undefined
      : runtime.services.get(route.serviceId);
  return {
    ok: true,
    explanation: {
      ...base,
      outcome: outcomeOf(route, service, request),
      route: { ...named(route), met: metBy(route, request) },
      plugins: pluginsOf(runtime, route, service, consumer),
      service: service === undefined ? null : serviceOf(service),
      target:
        service === undefined
          ? null
          : targetOf(service, route, request, found.path),
    },
  };
}

function* consider(
  runtime: Runtime,
  request: AskedRequest,
  found: ServedRoute | undefined,
): Slices<Considered[]> {
  let best: Considered[] = [];
  let handled = 0;
  for (const route of runtime.routes()) {
    if (++handled === SLICE_ROUTES) {
      yield handled;
      handled = 0;
    }
    if (route === undefined || route.id === found?.id) continue;
    const lacks = lacksOf(route.conditions, request);
    // A route that has nothing in common with the request is no near miss.
    if (lacks.length > 0 && lacks.length >= askedOf(route)) continue;
    best.push({ route, lacks });
    if (best.length >= 2 * MAX_CONSIDERED) best = nearest(best);
  }
  return nearest(best);
}

/** How many things a route asks for. */
function askedOf({ conditions }: ServedRoute): number {
  const { hosts, paths, methods, headers, snis } = conditions;
  return (
    Math.min(1, hosts.length) +
    Math.min(1, paths.length) +
    Math.min(1, methods.size) +
    headers.length +
    Math.min(1, snis.size)
  );
}

function nearest(considered: readonly Considered[]): Considered[] {
  return considered
    .map((one) => ({ one, rank: rankOf(one.route) }))
    .sort(
      (a, b) =>
        a.one.lacks.length - b.one.lacks.length || compareRanks(a.rank, b.rank),
    )
    .slice(0, MAX_CONSIDERED)
    .map(({ one }) => one);
}

function outcomeOf(
  route: ServedRoute,
  service: ServedService | undefined,
  { scheme }: AskedRequest,
): JsonObject {
  if (route.httpsOnly && scheme === "http")
    return answered(route.httpsRedirectStatus, "Please use HTTPS protocol");
  if (service === undefined)
    return answered(
      503,
      "no Service found with those values, unless a plugin answers first",
    );
  return { by: "upstream", note: "unless a plugin answers first" };
}

function answered(status: number, message: string): JsonObject {
  return { by: "gateway", status, message };
}

/** What the request and the route have in common. */
function metBy({ conditions }: ServedRoute, request: AskedRequest): string[] {
  const { hosts, paths, methods, headers, snis } = conditions;
  const path = paths.find(
    (one) => matchPath([one], request.path) !== undefined,
  );
  return [
    ...(hosts.length > 0
      ? [`host ${request.host} is among ${hosts.map(hostText).join(", ")}`]
      : []),
    ...(path === undefined
      ? []
      : [`path ${request.path} begins with ${pathText(path)}`]),
    ...(methods.size > 0
      ? [`method ${request.method} is among ${[...methods].join(", ")}`]
      : []),
    ...headers.map(
      ({ name }) => `header ${name} is ${request.header(name).join(", ")}`,
    ),
    ...(snis.size > 0 && request.scheme === "https"
      ? [`server name ${request.sni ?? ""} is among ${[...snis].join(", ")}`]
      : []),
  ];
}

function serviceOf(service: ServedService): JsonObject {
  const { protocol, host, port, path } = service;
  return { ...named(service), protocol, host, port, path };
}

function targetOf(
  service: ServedService,
  route: ServedRoute,
  request: AskedRequest,
  path: NonNullable<ReturnType<typeof matchPath>>,
): JsonObject {
  const query = request.rawQuery === undefined ? "" : `?${request.rawQuery}`;
  const sent = {
    path:
      upstreamPath(request.path, path.prefix, {
        servicePath: service.path,
        strip: route.stripPath,
        version: route.pathHandling,
      }) + query,
    host: route.preserveHost
      ? `${request.hostHeader} (preserved)`
      : (service.hostHeader ?? "the target's"),
  };
  const { peers } = service;
  if (!(peers instanceof Balancer))
    return {
      ...sent,
      address: addressText(service.host, service.port),
      why: "the service's own host: no upstream has its name",
      candidates: [],
    };
  const { settings } = peers;
  const expected = peers.expected({
    consumer: "",
    clientIp: "",
    path: request.path,
    rawQuery: request.rawQuery,
    captures: path,
    header: request.header,
  });
  return {
    ...sent,
    address: expected.address ?? null,
    why: `upstream "${settings.name}", ${settings.algorithm}: ${expected.why}`,
    candidates: peers.targets.flatMap(
      ({ text: target, weight, peers: at, trouble }) =>
        at.length === 0
          ? [
              {
                target,
                address: null,
                weight,
                state: trouble ?? "no address yet",
              },
            ]
          : at.map(({ address, port, state, weight: share }) => ({
              target,
              address:
                address === undefined ? null : addressText(address, port),
              weight: share,
              state:
                share === 0
                  ? "no weight"
                  : state.healthy
                    ? "healthy"
                    : "unhealthy",
            })),
    ),
  };
}

function named({ id, name }: { readonly id: string; readonly name: string }) {
  return { id, name };
}
