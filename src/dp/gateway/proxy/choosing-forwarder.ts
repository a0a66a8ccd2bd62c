import { DirectForwarder } from "./direct/direct-forwarder.ts";
import type {
  Connected,
  Forwarder,
  ForwardHead,
  ForwardOptions,
  ForwardTarget,
} from "./forward.ts";
import { HttpProxyForwarder } from "./http-proxy-forwarder.ts";

/** Plain requests go the short way; http-proxy has those that may become something else. */
export class ChoosingForwarder implements Forwarder {
  readonly #direct = new DirectForwarder();
  readonly #httpProxy = new HttpProxyForwarder();

  connect(
    target: ForwardTarget,
    head: ForwardHead,
    options: ForwardOptions,
  ): Connected | Promise<Connected> {
    const forwarder = options.upgrade ? this.#httpProxy : this.#direct;
    return forwarder.connect(target, head, options);
  }
}
