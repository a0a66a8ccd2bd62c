import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { CloseStack } from "../runtime/close-stack.ts";
import {
  formatHostPort,
  ListenError,
  type HostPort,
} from "../runtime/host-port.ts";

/** Upstreams that are running. */
export interface Echo extends AsyncDisposable {
  /** Where they listen, in the order they were asked for. */
  readonly addresses: readonly string[];
}

/** Starts an upstream on each address, `echo-1`, `echo-2` …, that answers with what it was asked and its own name. */
export async function startEcho(listen: readonly HostPort[]): Promise<Echo> {
  await using stack = new CloseStack();
  const addresses: string[] = [];
  for (const [index, hostPort] of listen.entries()) {
    const name = `echo-${index + 1}`;
    const server = createServer((request, response) => {
      answer(name, request, response);
    });
    server.listen(hostPort.port, hostPort.host);
    try {
      await once(server, "listening");
    } catch (error) {
      throw new ListenError(hostPort, error);
    }
    stack.defer(async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    });
    const { port } = server.address() as AddressInfo;
    addresses.push(formatHostPort({ host: hostPort.host, port }));
  }
  const owned = stack.move();
  return { addresses, [Symbol.asyncDispose]: () => owned.close() };
}

function answer(
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  // Read to the end, so that the connection can be used again.
  request.resume();
  const { method, url, headers } = request;
  response.setHeader("content-type", "application/json");
  response.end(
    `${JSON.stringify({ name, method, path: url, headers }, undefined, 2)}\n`,
  );
}
