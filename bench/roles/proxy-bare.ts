import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import httpProxy from "http-proxy";
import type { Calls } from "../support/child.ts";
import type { KeyPair } from "../support/tls.ts";

export interface ProxyBare {
  /** Starts a proxy to a port; returns its own. */
  readonly start: (
    upstreamPort: number,
    tls: KeyPair | undefined,
  ) => Promise<number>;
}

/** http-proxy as it comes, with connections that are kept: without them it costs more than twice as much. */
export function proxyBare(): ProxyBare & Calls {
  return {
    start: async (upstreamPort, tls) => {
      const agent = new Agent({
        keepAlive: true,
        maxSockets: Infinity,
        maxFreeSockets: 1024,
        scheduling: "lifo",
      });
      const proxy = httpProxy.createProxyServer({
        target: { protocol: "http:", host: "127.0.0.1", port: upstreamPort },
        agent,
        xfwd: false,
      });
      proxy.on("error", (_error, _request, response) => {
        response.destroy();
      });
      const server =
        tls === undefined
          ? createServer()
          : createSecureServer({
              cert: readFileSync(tls.certFile),
              key: readFileSync(tls.keyFile),
            });
      server.keepAliveTimeout = 75_000;
      server.on("request", (request, response) => {
        proxy.web(request, response);
      });
      server.listen(0, "127.0.0.1", 1024);
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
  };
}
