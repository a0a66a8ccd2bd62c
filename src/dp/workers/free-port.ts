import { once } from "node:events";
import { createServer } from "node:net";
import { ListenError, type HostPort } from "../../runtime/host-port.ts";

/**
 * An address with a port in the place of 0, which a moment ago nobody had: all workers, and those that replace them, are
 * to listen on the same.
 *
 * @throws ListenError when nothing can listen there.
 */
export async function withPort(listen: HostPort): Promise<HostPort> {
  if (listen.port !== 0) return listen;
  const server = createServer();
  try {
    server.listen(0, listen.host);
    await once(server, "listening");
  } catch (error) {
    throw new ListenError(listen, error);
  }
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string")
    throw new TypeError("the server has no address");
  return { host: listen.host, port: address.port };
}
