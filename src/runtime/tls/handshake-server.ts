import type { Socket } from "node:net";
import {
  createServer,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from "node:tls";
import { HandshakeError } from "./handshake-report.ts";

/** What a server needs of certificates, keys and sessions. */
export type ServerContext = SecureContextOptions & {
  readonly ticketKeys: Buffer;
  readonly sessionTimeout: number;
  readonly sessionIdContext: string;
};

/** Does the server's side of handshakes, on sockets that are somebody else's. Whom to let in is not decided here. */
export class HandshakeServer {
  readonly #server: Server;
  /** Those whose handshake is going on, by address. */
  readonly #pending = new Map<string, (outcome: TLSSocket | Error) => void>();

  constructor(context: ServerContext, handshakeMs: number) {
    this.#server = createServer({
      ...context,
      requestCert: true,
      // Judged by the caller, in words.
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      handshakeTimeout: handshakeMs,
    });
    this.#server.on("secureConnection", (secure) => {
      this.#settle(secure, secure);
    });
    this.#server.on("tlsClientError", (error, secure) => {
      // What breaks a connection later on comes here as well.
      secure.on("error", () => undefined);
      this.#settle(secure, error);
    });
  }

  /** Holds for handshakes that begin from now on. */
  update(context: ServerContext): void {
    this.#server.setSecureContext(context);
  }

  /** Resolves when the handshake is through. `address`: of the peer, "ip:port". */
  handshake(socket: Socket, address: string): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      if (this.#pending.has(address)) {
        reject(new HandshakeError("other", "its address is taken"));
        return;
      }
      const gone = (): void => {
        settle(new HandshakeError("closed", "it hung up during the handshake"));
      };
      const settle = (outcome: TLSSocket | Error): void => {
        this.#pending.delete(address);
        socket.off("close", gone);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      this.#pending.set(address, settle);
      socket.once("close", gone);
      this.#server.emit("connection", socket);
    });
  }

  /** Gives up the handshakes that are going on. */
  close(): void {
    for (const settle of this.#pending.values())
      settle(new HandshakeError("closed", "this side stops"));
  }

  /** Node does not tell which socket a secure one speaks on; the peer's address does. */
  #settle(secure: TLSSocket, outcome: TLSSocket | Error): void {
    this.#pending.get(
      `${secure.remoteAddress ?? ""}:${secure.remotePort ?? ""}`,
    )?.(outcome);
  }
}
