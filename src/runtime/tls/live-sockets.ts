import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { Revocations } from "./revocations.ts";

/** Connections that are open, with whose certificate, so that those of a revoked one can be cut. */
export class LiveSockets {
  readonly #certificates = new Map<Socket, X509Certificate>();
  readonly #below = new WeakMap<Socket, Socket>();

  /** `below`: what the secure one speaks on. */
  add(secure: Socket, below: Socket, certificate: X509Certificate): void {
    this.#certificates.set(secure, certificate);
    this.#below.set(secure, below);
    secure.once("close", () => this.#certificates.delete(secure));
  }

  /** Cuts the connections of revoked certificates and says how many. */
  cut(revocations: Revocations): number {
    let count = 0;
    for (const [secure, certificate] of this.#certificates)
      if (revocations.has(certificate)) {
        count++;
        secure.destroy();
        // The secure one waits for its last bytes to leave, which a peer that does not read never takes.
        this.#below.get(secure)?.destroy();
      }
    return count;
  }
}
