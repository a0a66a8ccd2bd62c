import type { X509Certificate } from "node:crypto";

/** Longer chains are nobody's. */
const MAX_DEPTH = 10;
/** How many certificates between nodes and authorities are remembered. */
const MAX_KNOWN = 256;

/** A certificate and those above it. */
export interface Chain {
  readonly chain: readonly X509Certificate[];
  /** Whether it goes up to an authority. */
  readonly whole: boolean;
}

/**
 * Finds the certificates above one, up to an authority. Whoever resumes a session shows only his own, and after a restart
 * not even that: so what has been shown before is remembered.
 */
export class Chains {
  #authorities: readonly X509Certificate[] = [];
  /** Those between, by fingerprint. */
  readonly #known = new Map<string, X509Certificate>();

  /** The files are others. `between`: the own certificate's own chain, which is often that of others. */
  use(
    authorities: readonly X509Certificate[],
    between: readonly X509Certificate[],
  ): void {
    this.#authorities = authorities;
    this.learn(between);
  }

  /** Remembers certificates that were verified. */
  learn(certificates: readonly X509Certificate[]): void {
    for (const certificate of certificates)
      if (certificate.ca && this.#known.size < MAX_KNOWN)
        this.#known.set(certificate.fingerprint256, certificate);
  }

  /**
   * The certificate and those above it, as far as they are known. `shown`: what its holder has shown beside it. Signatures
   * are not looked at: that was done in the handshake.
   */
  above(
    certificate: X509Certificate,
    shown: readonly X509Certificate[],
  ): Chain {
    const others = shown.length > 0 ? shown : [...this.#known.values()];
    const chain = [certificate];
    let last = certificate;
    while (chain.length < MAX_DEPTH) {
      const authority = issuerOf(last, this.#authorities);
      const issuer = authority ?? issuerOf(last, others);
      if (issuer === undefined || chain.includes(issuer)) break;
      // One of it for all that are below it. An authority that is remembered was read from the files of before.
      last = authority ?? this.#known.get(issuer.fingerprint256) ?? issuer;
      chain.push(last);
      if (authority?.checkIssued(authority) === true) break;
    }
    return { chain, whole: this.#authorities.includes(last) };
  }
}

/**
 * What a peer has shown beside his own certificate, in a handshake that was no resumption. Node 24.21.0 hides that from a
 * server (nodejs/node#65579): who has been let in then is taken for one with an incomplete chain.
 */
export function shownBeside(
  certificate: X509Certificate,
): readonly X509Certificate[] {
  const shown: X509Certificate[] = [];
  let next = certificate.issuerCertificate;
  while (next !== undefined && shown.length < MAX_DEPTH) {
    shown.push(next);
    next = next.issuerCertificate;
  }
  return shown;
}

/** The one that has issued a certificate; of several, with the same name and key, the one that lasts longest. */
function issuerOf(
  certificate: X509Certificate,
  among: readonly X509Certificate[],
): X509Certificate | undefined {
  let found: X509Certificate | undefined;
  for (const each of among)
    if (
      certificate.checkIssued(each) &&
      (found === undefined || endOf(each) > endOf(found))
    )
      found = each;
  return found;
}

function endOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}
