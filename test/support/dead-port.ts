import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/**
 * Holds a port of 127.0.0.1 on which nobody listens until it is released: it is the near end of a connection. One that was
 * only listened on for a moment may be given to the next who asks for any.
 */
export async function holdDeadPort(): Promise<{
  readonly port: number;
  readonly release: () => void;
}> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  const { localPort } = socket;
  if (localPort === undefined) throw new Error("the connection has no port");
  return {
    port: localPort,
    release: () => {
      socket.destroy();
      server.close();
    },
  };
}

/** The same, for as long as the test runs. */
export async function deadPort(): Promise<number> {
  const { port, release } = await holdDeadPort();
  onTestFinished(release);
  return port;
}
