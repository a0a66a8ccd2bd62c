import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { ListenError, type HostPort } from "../../runtime/host-port.ts";

/**
 * Addresses with a port in the place of 0, which a moment ago nobody had: all workers, and those that replace them, are to
 * listen on the same.
 *
 * @throws ListenError when nothing can listen there.
 */
export async function withPorts(
  listens: readonly HostPort[],
): Promise<HostPort[]> {
  const servers: Server[] = [];
  try {
    const chosen: HostPort[] = [];
    for (const listen of listens)
      if (listen.port === 0) {
        // Kept until all are chosen, so that no two are the same.
        const server = createServer();
        servers.push(server);
        chosen.push({ host: listen.host, port: await portOf(server, listen) });
      } else chosen.push(listen);
    return chosen;
  } finally {
    await Promise.all(servers.map(close));
  }
}

async function portOf(server: Server, listen: HostPort): Promise<number> {
  try {
    server.listen(0, listen.host);
    await once(server, "listening");
  } catch (error) {
    throw new ListenError(listen, error);
  }
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new TypeError("the server has no address");
  return address.port;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  await once(server, "close");
}
