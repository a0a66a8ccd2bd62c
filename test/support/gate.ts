import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** A way to a server that can be shut: connections are then taken in and go nowhere until it is opened again. */
export class Gate implements AsyncDisposable {
  readonly address: string;
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  #waiting: Socket[] = [];
  #isOpen = false;

  private constructor(server: Server, target: string) {
    this.#server = server;
    const [host = "", port = ""] = target.split(":");
    this.#target = { host, port: Number(port) };
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      this.#keep(socket);
      if (this.#isOpen) this.#pass(socket);
      else this.#waiting.push(socket);
    });
  }

  /** A gate, shut, in front of "host:port". */
  static async inFrontOf(target: string): Promise<Gate> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Gate(server, target);
  }

  /** Lets those that wait through, and those that come. */
  open(): void {
    this.#isOpen = true;
    for (const socket of this.#waiting.splice(0)) this.#pass(socket);
  }

  /** Lets nobody through any more; those that are through stay. */
  shut(): void {
    this.#isOpen = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pass(socket: Socket): void {
    const onward = connect(this.#target);
    this.#keep(onward);
    socket.pipe(onward).pipe(socket);
    socket.once("close", () => onward.destroy());
    onward.once("close", () => socket.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
