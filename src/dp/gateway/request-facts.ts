import type { Exchange } from "../plugins/plugin.ts";
import type { InboundRequest } from "./proxy/inbound.ts";
import type { PathMatch } from "./router/conditions.ts";
import type { HashFacts } from "./upstreams/balancing/hash-input.ts";

/** What balancers can tell a request by. Nothing is worked out before it is asked for. */
export class RequestFacts implements HashFacts {
  readonly captures: PathMatch;
  readonly #request: InboundRequest;
  readonly #exchange: Pick<Exchange, "consumer" | "credentialId">;

  constructor(
    request: InboundRequest,
    exchange: Pick<Exchange, "consumer" | "credentialId">,
    path: PathMatch,
  ) {
    this.captures = path;
    this.#request = request;
    this.#exchange = exchange;
  }

  get consumer(): string {
    const { consumer, credentialId } = this.#exchange;
    return consumer?.id ?? credentialId ?? "";
  }

  get clientIp(): string {
    return this.#request.connection.remoteAddress;
  }

  get path(): string {
    return this.#request.path;
  }

  get rawQuery(): string | undefined {
    return this.#request.rawQuery;
  }

  header(name: string): readonly string[] {
    return this.#request.header(name);
  }
}
