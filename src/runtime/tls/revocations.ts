import type { X509Certificate } from "node:crypto";
import type { X509Crl } from "@peculiar/x509";
import { DER, DerReader, derTime } from "./der.ts";
import { loadX509 } from "./x509.ts";

/** Which certificates authorities have taken back. Signatures are not checked here: OpenSSL does when it is given the list. */
export interface Revocations {
  has(certificate: X509Certificate): boolean;
  /** When the first of the lists is out of date; Infinity when none says. */
  readonly nextUpdateMs: number;
}

/**
 * Reads revocation lists in PEM. They may have a hundred thousand lines, and are read again whenever the file changes,
 * beside all that the process serves: so only what is needed of a line is looked at.
 *
 * @throws Error that says what is wrong with the text.
 */
export function readRevocations(pem: string): Revocations {
  /** The names of those who took a serial number back. */
  const revoked = new Map<string, Set<string>>();
  let nextUpdateMs = Infinity;
  for (const block of blocksIn(pem)) {
    const list = readList(block);
    nextUpdateMs = Math.min(nextUpdateMs, list.nextUpdateMs);
    for (const serial of list.serials) {
      const issuers = revoked.get(serial);
      if (issuers === undefined) revoked.set(serial, new Set([list.issuer]));
      else issuers.add(list.issuer);
    }
  }
  return {
    nextUpdateMs,
    has(certificate) {
      // Serial numbers are random: who takes a certificate apart has nearly always found it.
      const issuers = revoked.get(plainSerial(certificate.serialNumber));
      return issuers?.has(issuerOf(certificate)) === true;
    },
  };
}

interface RevocationList {
  /** The authority's name, as it is encoded. */
  readonly issuer: string;
  readonly nextUpdateMs: number;
  readonly serials: readonly string[];
}

/** RFC 5280, section 5.1. */
function readList(bytes: Buffer): RevocationList {
  try {
    const whole = new DerReader(bytes);
    const signed = whole.into(whole.read(DER.sequence));
    const list = signed.into(signed.read(DER.sequence));
    list.maybe(DER.integer);
    list.read(DER.sequence);
    const issuer = list.read(DER.sequence);
    list.read(DER.utcTime, DER.generalizedTime);
    const next = list.maybe(DER.utcTime, DER.generalizedTime);
    const revoked = list.maybe(DER.sequence);
    const serials: string[] = [];
    if (revoked !== undefined) {
      const lines = list.into(revoked);
      while (lines.next !== undefined) {
        const line = lines.into(lines.read(DER.sequence));
        const serial = line.content(line.read(DER.integer));
        serials.push(plainSerial(serial.toString("hex")));
      }
    }
    return {
      issuer: list.whole(issuer).toString("base64"),
      nextUpdateMs:
        next === undefined ? Infinity : derTime(next.tag, list.content(next)),
      serials,
    };
  } catch (cause) {
    throw new Error("the revocation list in it is damaged", { cause });
  }
}

/** The name of who issued a certificate, as it is encoded. RFC 5280, section 4.1. */
function issuerOf(certificate: X509Certificate): string {
  const whole = new DerReader(certificate.raw);
  const signed = whole.into(whole.read(DER.sequence));
  const content = signed.into(signed.read(DER.sequence));
  content.maybe(VERSION);
  content.read(DER.integer);
  content.read(DER.sequence);
  return content.whole(content.read(DER.sequence)).toString("base64");
}

/** The tag of a certificate's version. */
const VERSION = 0xa0;
const LABEL = /-----[^-]*-----/g;

/** The lists in a text, each in PEM by itself. */
export function listsIn(pem: string): readonly string[] {
  return (
    pem.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? []
  );
}

/** The bytes of the lists in a text. */
function blocksIn(pem: string): readonly Buffer[] {
  const blocks = listsIn(pem);
  if (blocks.length === 0)
    throw new Error(
      'it is no revocation list in PEM ("-----BEGIN X509 CRL----- … -----END X509 CRL-----")',
    );
  return blocks.map((block) => Buffer.from(block.replace(LABEL, ""), "base64"));
}

/** The lists in a text, with all that is in their lines. Throws like {@link readRevocations}; much slower. */
export async function readLists(pem: string): Promise<readonly X509Crl[]> {
  const blocks = blocksIn(pem);
  const { X509Crl } = await loadX509();
  return blocks.map((bytes) => {
    try {
      return new X509Crl(bytes, {
        // Else it stops at about 2,000 lines. The file is the operator's own.
        berOptions: { maxNodes: Infinity, maxContentLength: Infinity },
      });
    } catch (cause) {
      throw new Error("the revocation list in it is damaged", { cause });
    }
  });
}

/** A serial number in hexadecimal digits, as certificates and lists can be compared by. */
export function plainSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, "");
}
