import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import type { Calls } from "../support/child.ts";

export interface ProxyUpstream {
  /** Starts a server whose every answer has a body of so many bytes; returns its port. */
  readonly start: (bodyBytes: number) => Promise<number>;
}

const END = Buffer.from("\r\n\r\n");

/** What all proxies of a bench send to: as cheap as a server in node can be, so that it is never what is measured. */
export function proxyUpstream(): ProxyUpstream & Calls {
  return {
    start: async (bodyBytes) => {
      const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: ${bodyBytes}\r\n\r\n`;
      const answer = Buffer.concat([
        Buffer.from(head),
        Buffer.alloc(bodyBytes, "x"),
      ]);
      const server = createServer({ noDelay: true }, (socket) => {
        serve(socket, answer);
      });
      server.listen(0, "127.0.0.1", 1024);
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
  };
}

/** Answers every head of a request; there are no bodies. */
function serve(socket: Socket, answer: Buffer): void {
  let rest: Buffer | undefined;
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    let bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const end = bytes.indexOf(END);
      if (end < 0) break;
      bytes = bytes.subarray(end + END.length);
      socket.write(answer);
    }
    rest = bytes.length > 0 ? bytes : undefined;
  });
}
