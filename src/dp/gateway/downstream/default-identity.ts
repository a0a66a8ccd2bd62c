import { webcrypto } from "node:crypto";
import { loadX509 } from "../../../runtime/tls/x509.ts";
import type { ServerIdentity } from "./certificates.ts";

const DAY_MS = 86_400_000;
/** Longer than any process runs. */
const VALID_MS = 20 * 365 * DAY_MS;

/**
 * An identity for clients that ask for no name which the configuration has a certificate for. Nobody vouches for it: it
 * makes a handshake succeed, so that the client can see whom it has reached.
 */
export async function makeDefaultIdentity(
  nowMs: number,
): Promise<ServerIdentity> {
  const x509 = await loadX509();
  const algorithm = {
    name: "ECDSA",
    namedCurve: "P-256",
    hash: "SHA-256",
  } as const;
  const keys = await webcrypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: "CN=localhost, O=Holdfast default certificate",
      notBefore: new Date(nowMs - DAY_MS),
      notAfter: new Date(nowMs + VALID_MS),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.SubjectAlternativeNameExtension([
          { type: "dns", value: "localhost" },
        ]),
      ],
    },
    webcrypto,
  );
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return [{ cert: certificate.toString("pem"), key: pemKey(key) }];
}

function pemKey(der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
