import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

/** A real HTTP proxy for CONNECT: it counts tunnels, asks for a password when it has one, and can refuse. */
export class ConnectProxy implements AsyncDisposable {
  readonly address: string;
  /** Where tunnels were asked for, and what was answered: "127.0.0.1:8005 200". */
  readonly asked: string[] = [];
  /** Answered instead of opening tunnels. */
  refusal: string | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, authorization: string | undefined) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connect", (request, socket: Socket, head) => {
      const to = request.url ?? "";
      this.#keep(socket);
      const answer = (line: string): void => {
        this.asked.push(`${to} ${line.slice(0, 3)}`);
        socket.write(`HTTP/1.1 ${line}\r\n\r\n`);
      };
      if (this.refusal !== undefined) {
        answer(this.refusal);
        socket.end();
        return;
      }
      if (request.headers["proxy-authorization"] !== authorization) {
        answer("407 Proxy Authentication Required");
        socket.end();
        return;
      }
      const [host = "", port = ""] = to.split(":");
      const onward = connect({ host, port: Number(port) });
      this.#keep(onward);
      onward.once("connect", () => {
        answer("200 OK");
        onward.write(head);
        socket.pipe(onward).pipe(socket);
      });
      onward.once("error", () => {
        answer("502 Bad Gateway");
        socket.end();
      });
      onward.once("close", () => socket.destroy());
      socket.once("close", () => onward.destroy());
    });
  }

  /** One that is listening; with a user and a password it asks for them. */
  static async start(credentials?: string): Promise<ConnectProxy> {
    const server = createServer((_request, response) => {
      response.writeHead(405).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ConnectProxy(
      server,
      credentials === undefined
        ? undefined
        : `Basic ${Buffer.from(credentials).toString("base64")}`,
    );
  }

  /** Cuts all tunnels. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
