import type { TLSSocket } from "node:tls";
import { HandshakeError } from "./handshake-report.ts";

/** Resolves when the handshake is through. */
export function secured(secure: TLSSocket, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      settle(() => {
        reject(
          new HandshakeError(
            "timeout",
            `no TLS handshake within ${timeoutMs / 1000} s`,
          ),
        );
      });
    }, timeoutMs);
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      secure.off("secureConnect", done);
      secure.off("close", closed);
      outcome();
    };
    const done = (): void => {
      settle(resolve);
    };
    const closed = (): void => {
      settle(() => {
        reject(new HandshakeError("closed", "it hung up during the handshake"));
      });
    };
    secure.once("secureConnect", done);
    secure.once("close", closed);
    // Stays: an error that comes later is followed by 'close', which whoever speaks on it hears.
    secure.on("error", (error: Error) => {
      settle(() => {
        reject(error);
      });
    });
  });
}

/** How long a peer that is refused may take to see why it is. */
const PART_MS = 1_000;

/**
 * Ends a connection to a peer that is refused after the handshake, not before it has seen our half of that: it could only
 * say that we hung up.
 */
export async function part(secure: TLSSocket): Promise<void> {
  if (secure.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, PART_MS);
    secure.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    // Read to its end, or that is never seen.
    secure.resume();
    secure.end();
  });
  secure.destroy();
}
