import type { Socket } from "node:net";
import type { Chain } from "./chains.ts";
import type { Revocations } from "./revocations.ts";

/** Connections that are open, with the certificates of their peers, so that those of a revoked one can be cut. */
export class LiveSockets {
  readonly #chains = new Map<Socket, Chain>();

  /** `chain`: the peer's certificate and those above it. */
  add(socket: Socket, chain: Chain): void {
    this.#chains.set(socket, chain);
    socket.once("close", () => this.#chains.delete(socket));
  }

  /**
   * Cuts the connections of certificates that are revoked, or below one that is, and says how many. So are those of which it
   * is not known what is above them: they come back at once, and the handshake looks.
   */
  cut(revocations: Revocations): number {
    let count = 0;
    for (const [socket, { chain, whole }] of this.#chains)
      if (!whole || chain.some((certificate) => revocations.has(certificate))) {
        count++;
        // Its "close" comes in a later turn, and until then nobody is to be counted twice.
        this.#chains.delete(socket);
        socket.destroy();
      }
    return count;
  }
}
