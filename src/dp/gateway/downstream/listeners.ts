import type { Clock } from "../../../runtime/clock.ts";
import type { HostPort } from "../../../runtime/host-port.ts";
import type { ServerNames } from "./certificates.ts";
import { makeDefaultIdentity } from "./default-identity.ts";
import type { Arrived } from "./message.ts";
import { ProxyListener } from "./proxy-listener.ts";

/** The ports of a gateway: one in clear text and, when asked for, one with TLS. */
export class Listeners {
  readonly #plain: ProxyListener;
  readonly #secure: ProxyListener | undefined;

  private constructor(plain: ProxyListener, secure: ProxyListener | undefined) {
    this.#plain = plain;
    this.#secure = secure;
  }

  /**
   * Begins to listen. Port 0: the system chooses.
   *
   * @throws ListenError when nothing can listen there.
   */
  static async open(
    at: { readonly plain: HostPort; readonly secure?: HostPort | undefined },
    options: {
      readonly clock: Clock;
      /** The server names of the revision that is served now. */
      readonly names: () => ServerNames | undefined;
      /** Serves one request; must not throw. */
      readonly onRequest: (arrived: Arrived) => void;
      /** Hears of what could not be read as a request, with the status that it was answered with. */
      readonly onRefused: (status: number) => void;
    },
  ): Promise<Listeners> {
    const { clock, names, onRequest, onRefused } = options;
    let serial = 0;
    const common = {
      clock,
      onRequest,
      onRefused,
      nextSerial: () => ++serial,
    };
    const plain = await ProxyListener.listen(at.plain, undefined, common);
    if (at.secure === undefined) return new Listeners(plain, undefined);
    try {
      const fallback = await makeDefaultIdentity(clock.now());
      const secure = await ProxyListener.listen(
        at.secure,
        { names, fallback },
        common,
      );
      return new Listeners(plain, secure);
    } catch (error) {
      await plain.close(0);
      throw error;
    }
  }

  /** Where it listens in clear text: "host:port". */
  get address(): string {
    return this.#plain.address;
  }

  /** Where it listens with TLS; empty when it does not. */
  get tlsAddress(): string {
    return this.#secure?.address ?? "";
  }

  /** Stops accepting, lets what is under way end for `graceMs`, then cuts it off. */
  async close(graceMs: number): Promise<void> {
    await Promise.all([
      this.#plain.close(graceMs),
      this.#secure?.close(graceMs),
    ]);
  }
}
