import {
  createHash,
  createPrivateKey,
  createPublicKey,
  X509Certificate,
  type KeyObject,
} from "node:crypto";

/** A value or the reason why there is none. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

/** The certificates of a PEM text, the first first. */
export function parseCertificates(pem: string): Parsed<X509Certificate[]> {
  const blocks = pem.match(
    /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g,
  );
  if (blocks === null)
    return {
      ok: false,
      reason:
        'is not a certificate in PEM ("-----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----")',
    };
  const certificates: X509Certificate[] = [];
  for (const [i, block] of blocks.entries()) {
    const parsed = parseCertificate(block);
    if (parsed.ok) certificates.push(parsed.value);
    else {
      const which = blocks.length === 1 ? "" : `number ${i + 1} `;
      return { ok: false, reason: `${which}is damaged: ${parsed.reason}` };
    }
  }
  return { ok: true, value: certificates };
}

function parseCertificate(block: string): Parsed<X509Certificate> {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(block);
  } catch (error) {
    return { ok: false, reason: messageOf(error) };
  }
  try {
    // A certificate's own is read only when it is asked for, and then it throws.
    createPublicKey(block);
  } catch (error) {
    return {
      ok: false,
      reason: `its public key cannot be read: ${messageOf(error)}`,
    };
  }
  return { ok: true, value: certificate };
}

/** The private key of a PEM text. */
export function parsePrivateKey(pem: string): Parsed<KeyObject> {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(pem))
    return {
      ok: false,
      reason: "is encrypted: give the private key without a passphrase",
    };
  try {
    return { ok: true, value: createPrivateKey(pem) };
  } catch {
    // OpenSSL's message says no more than that.
    return {
      ok: false,
      reason:
        'is not a private key in PEM ("-----BEGIN PRIVATE KEY----- … -----END PRIVATE KEY-----")',
    };
  }
}

/** The public key of a PEM text. */
export function parsePublicKey(pem: string): Parsed<KeyObject> {
  if (pem.includes("PRIVATE KEY"))
    return { ok: false, reason: "is a private key, not a public one" };
  try {
    return { ok: true, value: createPublicKey(pem) };
  } catch {
    return {
      ok: false,
      reason:
        'is not a public key in PEM ("-----BEGIN PUBLIC KEY----- … -----END PUBLIC KEY-----")',
    };
  }
}

/** SHA-256 of a single certificate's DER form; undefined when the text is not one certificate. */
export function caDigest(pem: string): string | undefined {
  const parsed = parseCertificates(pem);
  const [certificate, ...more] = parsed.ok ? parsed.value : [];
  if (certificate === undefined || more.length > 0) return undefined;
  return createHash("sha256").update(certificate.raw).digest("hex");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
