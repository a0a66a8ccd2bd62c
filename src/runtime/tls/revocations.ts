import type { X509Certificate } from "node:crypto";
import type { X509Crl } from "@peculiar/x509";
import { loadX509 } from "./x509.ts";

/** Which certificates authorities have taken back. Signatures are not checked here: OpenSSL does when it is given the list. */
export interface Revocations {
  has(certificate: X509Certificate): boolean;
  /** When the first of the lists is out of date; Infinity when none says. */
  readonly nextUpdateMs: number;
}

/** Reads revocation lists in PEM. Throws an Error that says what is wrong with the text. */
export async function readRevocations(pem: string): Promise<Revocations> {
  const x509 = await loadX509();
  /** The names of those who took a serial number back. */
  const revoked = new Map<string, Set<string>>();
  let nextUpdateMs = Infinity;
  for (const list of await readLists(pem)) {
    nextUpdateMs = Math.min(
      nextUpdateMs,
      list.nextUpdate?.getTime() ?? Infinity,
    );
    const issuer = bytesOf(list.issuerName);
    for (const { serialNumber } of list.entries) {
      const serial = plainSerial(serialNumber);
      const issuers = revoked.get(serial);
      if (issuers === undefined) revoked.set(serial, new Set([issuer]));
      else issuers.add(issuer);
    }
  }
  return {
    nextUpdateMs,
    has(certificate) {
      // Serial numbers are random: who takes a certificate apart has nearly always found it.
      const issuers = revoked.get(plainSerial(certificate.serialNumber));
      if (issuers === undefined) return false;
      const { issuerName } = new x509.X509Certificate(certificate.raw);
      return issuers.has(bytesOf(issuerName));
    },
  };
}

const LABEL = /-----[^-]*-----/g;

/** The lists in a text, each in PEM by itself. */
export function listsIn(pem: string): readonly string[] {
  return (
    pem.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? []
  );
}

/** The lists in a text, read. Throws like {@link readRevocations}. */
export async function readLists(pem: string): Promise<readonly X509Crl[]> {
  const blocks = listsIn(pem);
  if (blocks.length === 0)
    throw new Error(
      'it is no revocation list in PEM ("-----BEGIN X509 CRL----- … -----END X509 CRL-----")',
    );
  const { X509Crl } = await loadX509();
  return blocks.map((block) => {
    try {
      return new X509Crl(Buffer.from(block.replace(LABEL, ""), "base64"), {
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

function bytesOf(name: { toArrayBuffer(): ArrayBuffer }): string {
  return Buffer.from(name.toArrayBuffer()).toString("base64");
}
