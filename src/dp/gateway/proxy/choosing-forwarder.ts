import { DirectForwarder } from "./direct/direct-forwarder.ts";
import type {
  Connected,
  Forwarder,
  ForwardHead,
  ForwardOptions,
  ForwardTarget,
} from "./forward.ts";
import { Http2Forwarder } from "../http2/http2-forwarder.ts";
import { HttpProxyForwarder } from "./http-proxy-forwarder.ts";

/** Plain requests go the short way; http-proxy has those that may become something else; those of gRPC services go by HTTP/2. */
export class ChoosingForwarder implements Forwarder {
  readonly #direct = new DirectForwarder();
  readonly #httpProxy = new HttpProxyForwarder();
  readonly #http2 = new Http2Forwarder();

  connect(
    target: ForwardTarget,
    head: ForwardHead,
    options: ForwardOptions,
  ): Connected | Promise<Connected> {
    return this.#forwarderFor(target, options).connect(target, head, options);
  }

  #forwarderFor(
    { protocol }: ForwardTarget,
    { upgrade }: ForwardOptions,
  ): Forwarder {
    if (protocol === "grpc" || protocol === "grpcs") return this.#http2;
    return upgrade ? this.#httpProxy : this.#direct;
  }
}
