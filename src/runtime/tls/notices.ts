import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { ClusterTlsFiles, Material } from "./material.ts";

/** A certificate that ends sooner is warned about. */
const SOON_MS = 7 * 24 * 3600_000;

/** Where a certificate stands in its life. */
type Age = "early" | "fine" | "soon" | "expired";

/** Says what somebody should know of the files in use, when it begins to be so and not again. */
export class Notices {
  readonly #options: ClusterTlsFiles & {
    readonly clock: Clock;
    readonly logger: Logger;
  };
  #age: Age = "fine";
  #listIsOld = false;

  constructor(
    options: ClusterTlsFiles & {
      readonly clock: Clock;
      readonly logger: Logger;
    },
  ) {
    this.#options = options;
  }

  /** Other files are in use. */
  inUse(material: Material): void {
    const { logger, certFile, keyFile, caFile } = this.#options;
    if (material.keyIsOpen)
      logger.warn("tls.key_readable_by_all", {
        file: keyFile,
        consequence:
          "whoever is on this machine can pass for it: chmod 600, and issue a new one if others were",
      });
    if (!material.chains)
      logger.warn("tls.own_certificate_not_of_own_ca", {
        file: certFile,
        ca: caFile,
        consequence: "peers with the same authorities will refuse it",
      });
    this.#age = "fine";
    this.#listIsOld = false;
    this.look(material);
  }

  /** Time has passed. */
  look({ own, validFromMs, revocations }: Material): void {
    const { clock, logger, crlFile } = this.#options;
    const nowMs = clock.now();
    const age = ageOf(own.expiresAtMs, validFromMs, nowMs);
    if (age !== this.#age) this.#sayAge(age, own.expiresAtMs, validFromMs);
    this.#age = age;
    const listIsOld =
      revocations !== undefined && revocations.nextUpdateMs < nowMs;
    if (listIsOld && !this.#listIsOld)
      logger.error("tls.crl_out_of_date", {
        file: crlFile,
        since: new Date(revocations.nextUpdateMs).toISOString(),
        consequence: "every peer is refused until there is a newer one",
      });
    this.#listIsOld = listIsOld;
  }

  #sayAge(age: Age, endMs: number, startMs: number): void {
    const { logger, certFile } = this.#options;
    const fields = { file: certFile, expires: new Date(endMs).toISOString() };
    switch (age) {
      case "fine":
        return;
      case "soon":
        logger.warn("tls.own_certificate_ends_soon", fields);
        return;
      case "early":
        logger.error("tls.own_certificate_not_valid_yet", {
          ...fields,
          from: new Date(startMs).toISOString(),
          consequence: "peers refuse it until then: is a clock wrong?",
        });
        return;
      case "expired":
        logger.error("tls.own_certificate_expired", {
          ...fields,
          consequence:
            "peers refuse it; a renewed file is taken up without a restart",
        });
        return;
      default:
        age satisfies never;
    }
  }
}

function ageOf(endMs: number, startMs: number, nowMs: number): Age {
  if (nowMs > endMs) return "expired";
  if (nowMs < startMs) return "early";
  return endMs - nowMs < SOON_MS ? "soon" : "fine";
}
