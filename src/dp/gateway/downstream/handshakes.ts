import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "../../../runtime/clock.ts";
import {
  FIRST_WORDS_BYTES,
  hasGreeting,
} from "../../../runtime/first-words.ts";
import { WaitingSocket } from "../../../runtime/waiting-socket.ts";
import {
  identityFor,
  type ServerIdentity,
  type ServerNames,
} from "./certificates.ts";
import { LIMITS } from "./limits.ts";
import { ignore } from "./refusal.ts";
import { serverNameIn } from "./server-name.ts";

/** Whom a secure listener says that it is. */
export interface ListenerTls {
  /** The names of the revision that is served now. */
  readonly names: () => ServerNames | undefined;
  /** For clients that no name is found for. */
  readonly fallback: ServerIdentity;
}

/** Does the server's side of handshakes, with the identity that the client's greeting asks for. */
export class Handshakes {
  readonly #tls: ListenerTls;
  readonly #clock: Clock;
  readonly #onSecure: (socket: TLSSocket) => void;
  /**
   * One for each identity, made when it is first needed: a configuration may have thousands of certificates, and to read
   * them all takes long. Kept as long as the identity is.
   */
  readonly #servers = new WeakMap<ServerIdentity, Server>();

  constructor(
    tls: ListenerTls,
    clock: Clock,
    onSecure: (socket: TLSSocket) => void,
  ) {
    this.#tls = tls;
    this.#clock = clock;
    this.#onSecure = onSecure;
  }

  /** Waits for a client's greeting and answers it. What comes to nothing is closed. */
  begin(socket: Socket): void {
    let name: string | undefined;
    socket.on("error", ignore);
    const waiting = new WaitingSocket(
      socket,
      { address: "", network: "" },
      {
        maxBytes: FIRST_WORDS_BYTES,
        isEnough: (head) => {
          if (!hasGreeting(head)) return false;
          name = serverNameIn(head);
          return true;
        },
        spoke: () => {
          timer.cancel();
          this.#answer(waiting.release(), name);
        },
        left: () => {
          timer.cancel();
        },
      },
    );
    const timer = this.#clock.setTimer(LIMITS.handshakeMs, () => {
      waiting.destroy();
    });
  }

  #answer(socket: Socket, name: string | undefined): void {
    const names = this.#tls.names();
    const identity =
      names === undefined
        ? undefined
        : name === undefined
          ? names.get("*")
          : identityFor(names, name);
    try {
      this.#serverOf(identity ?? this.#tls.fallback).emit("connection", socket);
    } catch {
      // The rules let no certificate pass that cannot be used; should they, it concerns this client alone.
      socket.destroy();
    }
  }

  #serverOf(identity: ServerIdentity): Server {
    let server = this.#servers.get(identity);
    if (server !== undefined) return server;
    server = createServer({
      cert: identity.map(({ cert }) => cert),
      key: identity.map(({ key }) => key),
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: LIMITS.handshakeMs,
    });
    server.on("secureConnection", this.#onSecure);
    // A handshake that fails has closed its connection; a client may try what it likes.
    server.on("tlsClientError", (_error, socket) => {
      socket.on("error", ignore);
      socket.destroy();
    });
    this.#servers.set(identity, server);
    return server;
  }
}
