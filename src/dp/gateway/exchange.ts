import type {
  ConsumerIdentity,
  Consumers,
  Exchange,
} from "../plugins/plugin.ts";
import type { InboundRequest } from "./proxy/inbound.ts";
import type { OutboundRequest } from "./proxy/outbound.ts";
import type { ServedRoute, ServedService } from "./runtime.ts";

/** A request that has a route, as its plugins see it. */
export class RoutedExchange implements Exchange {
  readonly id: string;
  readonly request: InboundRequest;
  readonly upstream: OutboundRequest;
  readonly route: Exchange["route"];
  readonly service: Exchange["service"];
  #consumers: Consumers;
  #consumer: ConsumerIdentity | undefined;
  #credentialId: string | undefined;

  constructor(
    id: string,
    parts: {
      readonly request: InboundRequest;
      readonly upstream: OutboundRequest;
      readonly route: ServedRoute;
      readonly service: ServedService | undefined;
      readonly consumers: Consumers;
    },
  ) {
    const { request, upstream, route, service, consumers } = parts;
    this.id = id;
    this.request = request;
    this.upstream = upstream;
    this.route = { id: route.id, name: route.name };
    this.service =
      service === undefined
        ? undefined
        : { id: service.id, name: service.name };
    this.#consumers = consumers;
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
};
