import { ExchangeContext } from "../plugins/context.ts";
import type {
  ConsumerIdentity,
  Consumers,
  Exchange,
  PathCaptures,
} from "../plugins/plugin.ts";
import type { InboundRequest } from "./proxy/inbound.ts";
import type { OutboundRequest } from "./proxy/outbound.ts";
import type { PathMatch } from "./router/conditions.ts";
import type { ServedRoute, ServedService } from "./runtime.ts";

/** A request as its plugins see it. */
export class RoutedExchange implements Exchange {
  readonly id: string;
  readonly request: InboundRequest;
  readonly upstream: OutboundRequest;
  #route: Exchange["route"] = { id: "", name: "" };
  #service: Exchange["service"];
  #captures: PathCaptures = NO_CAPTURES;
  #context: ExchangeContext | undefined;
  #consumers: Consumers;
  #consumer: ConsumerIdentity | undefined;
  #credentialId: string | undefined;

  constructor(
    id: string,
    request: InboundRequest,
    upstream: OutboundRequest,
    consumers: Consumers,
  ) {
    this.id = id;
    this.request = request;
    this.upstream = upstream;
    this.#consumers = consumers;
  }

  /** The request has a route. */
  routed(
    { id, name }: ServedRoute,
    service: ServedService | undefined,
    path: PathMatch,
  ): void {
    this.#route = { id, name };
    if (service !== undefined)
      this.#service = { id: service.id, name: service.name };
    this.#captures = path;
  }

  get route(): Exchange["route"] {
    return this.#route;
  }

  get service(): Exchange["service"] {
    return this.#service;
  }

  get captures(): PathCaptures {
    return this.#captures;
  }

  get context(): ExchangeContext {
    this.#context ??= new ExchangeContext();
    return this.#context;
  }

  get consumers(): Consumers {
    return this.#consumers;
  }

  get consumer(): ConsumerIdentity | undefined {
    return this.#consumer;
  }

  get credentialId(): string | undefined {
    return this.#credentialId;
  }

  authenticate(
    consumer: ConsumerIdentity,
    credentialId: string | undefined,
  ): void {
    this.#consumer = consumer;
    this.#credentialId = credentialId;
    this.upstream.identify(consumer, credentialId);
  }

  /** Lets go of what is only there for the access phase, so that a long answer does not keep a whole revision. */
  release(): void {
    this.#consumers = NOBODY;
  }
}

const NOBODY: Consumers = {
  byId: () => undefined,
  byUsername: () => undefined,
  byKey: () => undefined,
  byLogin: () => undefined,
  byTokenKey: () => undefined,
  groupsOf: () => [],
  consumerGroupsOf: () => [],
};

const NO_CAPTURES: PathCaptures = { groups: [], named: new Map() };
