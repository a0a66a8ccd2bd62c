import { createHash, hkdfSync, type X509Certificate } from "node:crypto";
import { constants } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { SecureContextOptions } from "node:tls";
import { parseCertificates, parsePrivateKey } from "../../model/pem.ts";
import { ConfigError } from "../../model/violation.ts";
import type { PeerCertificate } from "../peer.ts";
import { describeCertificate, fingerprintOf } from "./certificate-names.ts";
import { listsIn, readRevocations, type Revocations } from "./revocations.ts";

/** The files that the link between control plane and data planes is secured with. */
export interface ClusterTlsFiles {
  /** The own certificate; in PKI mode followed by those between it and the authority, else by others to accept. */
  readonly certFile: string;
  readonly keyFile: string;
  /** The authorities; PKI mode. Absent: shared mode. */
  readonly caFile?: string | undefined;
  /** Revocation lists of those authorities; PKI mode only. */
  readonly crlFile?: string | undefined;
  /** Names of which a peer's certificate must have one, "*.example.com" among them; PKI mode only. None: all. */
  readonly allowedNames?: readonly string[] | undefined;
}

/** What the files hold, read and checked. */
export interface Material {
  /** Changes when any of the files does. */
  readonly digest: string;
  readonly own: PeerCertificate;
  readonly validFromMs: number;
  /** Fingerprints of the certificates that a peer may have, with their ends; undefined in PKI mode. */
  readonly pins: ReadonlyMap<string, number> | undefined;
  readonly revocations: Revocations | undefined;
  readonly authorities: readonly X509Certificate[];
  /** What follows the own certificate in its file. */
  readonly others: readonly X509Certificate[];
  /** Whether the own certificate leads to one of the own authorities. */
  readonly chains: boolean;
  /** Whether everybody on this machine may read the private key. */
  readonly keyIsOpen: boolean;
  readonly context: SecureContextOptions & { readonly ticketKeys: Buffer };
}

/** The files' contents, unread. */
export interface RawMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
  readonly crl: string | undefined;
  readonly keyIsOpen: boolean;
  readonly digest: string;
}

/** Reads the files. Throws a ConfigError that names the file and its flag. */
export async function readRaw(files: ClusterTlsFiles): Promise<RawMaterial> {
  const { certFile, keyFile, caFile, crlFile } = files;
  const cert = await read("--cluster-cert", certFile);
  const key = await read("--cluster-key", keyFile);
  const ca = caFile && (await read("--cluster-ca", caFile));
  const crl = crlFile && (await read("--cluster-crl", crlFile));
  const hash = createHash("sha256");
  for (const text of [cert, key, ca ?? "", crl ?? ""])
    hash.update(`${text.length}\0`).update(text);
  // A group may read it: that is how secrets are mounted for a process of another user. A file that has just gone is told next time.
  const status = await stat(keyFile).catch(() => undefined);
  const keyIsOpen = ((status?.mode ?? 0) & constants.S_IROTH) !== 0;
  return { cert, key, ca, crl, keyIsOpen, digest: hash.digest("hex") };
}

async function read(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw problem(flag, file, `cannot be read: ${why}`, cause);
  }
}

/** Checks what the files hold. Throws a ConfigError that names the file and its flag. */
export async function checkMaterial(
  files: ClusterTlsFiles,
  raw: RawMaterial,
): Promise<Material> {
  const { certFile, keyFile, caFile, crlFile } = files;
  const certificates = parseCertificates(raw.cert);
  if (!certificates.ok)
    throw problem("--cluster-cert", certFile, certificates.reason);
  const [own, ...others] = certificates.value as [
    X509Certificate,
    ...X509Certificate[],
  ];
  const key = parsePrivateKey(raw.key);
  if (!key.ok) throw problem("--cluster-key", keyFile, key.reason);
  if (!own.checkPrivateKey(key.value))
    throw problem(
      "--cluster-key",
      keyFile,
      `is not the key of the certificate in ${certFile} (--cluster-cert), whose SHA-256 is ${fingerprintOf(own)}`,
    );
  const authorities =
    raw.ca === undefined ? undefined : authoritiesOf(raw.ca, caFile ?? "");
  let revocations: Revocations | undefined;
  if (raw.crl !== undefined)
    try {
      revocations = readRevocations(raw.crl);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw problem("--cluster-crl", crlFile ?? "", why, cause);
    }
  return {
    digest: raw.digest,
    own: describeCertificate(own, authorities !== undefined),
    validFromMs: Date.parse(own.validFrom),
    pins:
      authorities === undefined
        ? new Map(
            certificates.value.map((certificate) => [
              fingerprintOf(certificate),
              Date.parse(certificate.validTo),
            ]),
          )
        : undefined,
    revocations,
    authorities: authorities ?? [],
    others,
    chains: authorities === undefined || leadsTo(own, others, authorities),
    keyIsOpen: raw.keyIsOpen,
    context: {
      // In shared mode the others are no chain.
      cert: authorities === undefined ? own.toString() : raw.cert,
      key: raw.key,
      ...(raw.ca === undefined ? {} : { ca: raw.ca }),
      // One by one: of several in a text OpenSSL takes the first.
      ...(raw.crl === undefined ? {} : { crl: [...listsIn(raw.crl)] }),
      minVersion: "TLSv1.2",
      // Of the key and all files: sessions outlive a restart, in which a whole fleet comes back at once, but no change of who is trusted.
      ticketKeys: Buffer.from(
        hkdfSync(
          "sha256",
          key.value.export({ type: "pkcs8", format: "der" }),
          raw.digest,
          "holdfast session tickets",
          48,
        ),
      ),
    },
  };
}

function authoritiesOf(pem: string, file: string): readonly X509Certificate[] {
  const parsed = parseCertificates(pem);
  if (!parsed.ok) throw problem("--cluster-ca", file, parsed.reason);
  const other = parsed.value.find((certificate) => !certificate.ca);
  if (other !== undefined)
    throw problem(
      "--cluster-ca",
      file,
      `holds a certificate that is no authority's: ${oneLine(other.subject)}. For one self-signed pair everywhere leave --cluster-ca away`,
    );
  return parsed.value;
}

/** Whether a certificate leads to an authority by way of those beside it. */
function leadsTo(
  own: X509Certificate,
  others: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  const issued = (certificate: X509Certificate, by: X509Certificate) =>
    certificate.checkIssued(by) && certificate.verify(by.publicKey);
  let current = own;
  for (let i = 0; i <= others.length; i++) {
    const certificate = current;
    if (authorities.some((authority) => issued(certificate, authority)))
      return true;
    const next = others.find((other) => issued(certificate, other));
    if (next === undefined) return false;
    current = next;
  }
  return false;
}

/** A name as X509Certificate writes it, one part a line. */
export function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

function problem(
  flag: string,
  file: string,
  reason: string,
  cause?: unknown,
): ConfigError {
  return new ConfigError("failed_precondition", `${flag} ${file}: ${reason}`, {
    cause,
  });
}

/**
 * What the certificate in a file says.
 *
 * @throws ConfigError
 */
export async function certificateIn(
  files: ClusterTlsFiles,
): Promise<PeerCertificate> {
  return (await checkMaterial(files, await readRaw(files))).own;
}
