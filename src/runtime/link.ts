import * as grpc from "@grpc/grpc-js";
import type { SecureConnector } from "@grpc/grpc-js/build/src/channel-credentials.js";
import type { Socket } from "node:net";
import type { HostPort } from "./host-port.ts";
import { openTunnel, type Proxy } from "./tunnel.ts";

/** Makes a connection secure, from the side that opened it. */
export interface Connector {
  /** Rejects when the peer is not who it should be, with the reason. The socket is the caller's to destroy. */
  connect(socket: Socket, target: HostPort): Promise<Socket>;
}

/** The least that an HTTP/2 server says first: an empty frame of settings. */
const HTTP2_HELLO_BYTES = 9;

export interface LinkOptions {
  readonly target: HostPort;
  readonly tls?: Connector | undefined;
  readonly proxy?: Proxy | undefined;
}

/** What grpc-js does with a connection before HTTP/2 is spoken on it: through a proxy, made secure, both or neither. */
export class Link extends grpc.ChannelCredentials {
  readonly #options: LinkOptions;
  readonly #sockets = new Set<Socket>();
  #failure: Error | undefined;
  #closed = false;

  constructor(options: LinkOptions) {
    super();
    this.#options = options;
  }

  /** Why the last attempt failed, as far as that is known here. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Lets no more connections come about: grpc-js tries once more after a close, when it was waiting to. */
  close(): void {
    this.#closed = true;
  }

  /** Cuts the connections that are there. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  override _isSecure(): boolean {
    return this.#options.tls !== undefined;
  }

  override _equals(other: grpc.ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials?: grpc.CallCredentials,
  ): SecureConnector {
    const credentials = callCredentials ?? grpc.CallCredentials.createEmpty();
    return {
      connect: async (socket) => ({
        socket: await this.#open(socket),
        secure: this._isSecure(),
      }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => credentials,
      destroy: () => undefined,
    };
  }

  async #open(socket: Socket): Promise<Socket> {
    const { target, proxy, tls } = this.#options;
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // Errors come to whoever speaks on it; this one is for the time between two speakers.
    socket.on("error", () => undefined);
    try {
      this.#assertOpen();
      this.#failure = undefined;
      if (proxy !== undefined) await openTunnel(socket, proxy, target);
      const speaking =
        tls === undefined ? socket : await tls.connect(socket, target);
      this.#assertOpen();
      if (tls === undefined) this.#watchPlain(speaking);
      else this.#watch(speaking);
      return speaking;
    } catch (error) {
      this.#failure ??=
        error instanceof Error ? error : new Error(String(error));
      socket.destroy();
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error("the client is closed");
  }

  /** A server that wants TLS answers in TLS that it does not understand, or not at all, and hangs up. */
  #watchPlain(socket: Socket): void {
    const before = socket.bytesRead;
    socket.once("close", () => {
      if (socket.bytesRead - before < HTTP2_HELLO_BYTES)
        this.#failure ??= new Error(
          "it hung up before HTTP/2: does it want TLS?",
        );
    });
  }

  /** In TLS 1.3 a server that refuses our certificate lets the handshake succeed here and then just hangs up. */
  #watch(socket: Socket): void {
    socket.once("close", () => {
      this.#failure = new Error(
        "it closed the connection after the TLS handshake; perhaps it does not accept this side's certificate, which its log would say",
      );
    });
  }
}
