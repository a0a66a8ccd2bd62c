import { once } from "node:events";
import { createServer } from "node:net";
import { CloseStack } from "../../runtime/close-stack.ts";
import { formatHostPort, type HostPort } from "../../runtime/host-port.ts";
import { Failure } from "../io.ts";

/** An address to listen on and the flag that moves it. */
export interface WantedPort {
  readonly flag: string;
  readonly listen: HostPort;
}

/** Fails, naming the flag, when one of the addresses cannot be listened on. All are tried together: none is wanted twice. */
export async function checkPorts(wanted: readonly WantedPort[]): Promise<void> {
  await using held = new CloseStack();
  for (const { flag, listen } of wanted) {
    const server = createServer();
    server.listen(listen.port, listen.host);
    try {
      await once(server, "listening");
    } catch (error) {
      throw new Failure(explain(error, flag, listen), { cause: error });
    }
    held.defer(async () => {
      const closed = once(server, "close");
      server.close();
      await closed;
    });
  }
}

function explain(error: unknown, flag: string, listen: HostPort): string {
  const where = formatHostPort(listen);
  const move = `Choose another place with ${flag} HOST:PORT.`;
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "EADDRINUSE")
    return `port ${listen.port} is taken: something else listens on ${where} already. ${move}`;
  const why = error instanceof Error ? error.message : String(error);
  return `cannot listen on ${where} (${why}). ${move}`;
}
