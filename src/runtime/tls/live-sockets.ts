import type { Socket } from "node:net";
import type { Chain } from "./chains.ts";
import type { Revocations } from "./revocations.ts";

/** Connections that are open, with the certificates of their peers, so that those of a revoked one can be cut. */
export class LiveSockets {
  readonly #chains = new Map<Socket, Chain>();
  readonly #below = new WeakMap<Socket, Socket>();

  /** `below`: what the secure one speaks on. `chain`: the peer's certificate and those above it. */
  add(secure: Socket, below: Socket, chain: Chain): void {
    this.#chains.set(secure, chain);
    this.#below.set(secure, below);
    secure.once("close", () => this.#chains.delete(secure));
  }

  /**
   * Cuts the connections of certificates that are revoked, or below one that is, and says how many. So are those of which it
   * is not known what is above them: they come back at once, and the handshake looks.
   */
  cut(revocations: Revocations): number {
    let count = 0;
    for (const [secure, { chain, whole }] of this.#chains)
      if (!whole || chain.some((certificate) => revocations.has(certificate))) {
        count++;
        secure.destroy();
        // The secure one waits for its last bytes to leave, which a peer that does not read never takes.
        this.#below.get(secure)?.destroy();
      }
    return count;
  }
}
