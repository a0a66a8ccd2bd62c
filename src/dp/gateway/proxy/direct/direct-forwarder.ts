import { connectFailure } from "../failure.ts";
import type {
  Connected,
  Forwarder,
  ForwardHead,
  ForwardOptions,
  ForwardTarget,
} from "../forward.ts";
import { serverNameOf } from "../server-name.ts";

/**
 * Makes HTTP/1.1 requests on connections of its own: what a request costs is mostly what is made for it, and node's client
 * makes a great deal. It does what the plain path needs; who wants to upgrade is served by another forwarder.
 */
export class DirectForwarder implements Forwarder {
  connect(
    target: ForwardTarget,
    head: ForwardHead,
    { onRequest }: ForwardOptions,
  ): Connected | Promise<Connected> {
    const { agent } = target;
    const serverName =
      target.protocol === "https" ? serverNameOf(head, target) : "";
    const name = `${target.host} ${target.port} ${serverName}`;
    const kept = agent.kept.take(name);
    if (kept !== undefined) {
      const call = kept.begin(head);
      onRequest(call.request);
      return { ok: true, call };
    }
    return new Promise((resolve) => {
      const connection = agent.kept.add(
        agent.connect(target.host, target.port, serverName),
        {
          name,
          readyOn: target.protocol === "https" ? "secureConnect" : "connect",
          onReady: (error) => {
            resolve(
              error === undefined
                ? { ok: true, call }
                : { ok: false, failure: connectFailure(error) },
            );
          },
        },
      );
      const call = connection.begin(head);
      onRequest(call.request);
    });
  }
}
