import {
  randomBytes,
  webcrypto,
  type KeyObject,
  type X509Certificate,
} from "node:crypto";
import { isIP } from "node:net";
import type {
  Extension,
  Name,
  PublicKey,
  X509CrlEntryParams,
} from "@peculiar/x509";
import { loadX509, type X509 } from "../../runtime/tls/x509.ts";

/** What a certificate is for. */
type Purpose = "authority" | "server" | "client";

/** Who signs. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

export interface CertificateRequest {
  /** The common name. */
  readonly name: string;
  readonly publicKey: KeyObject;
  /** Absent: it signs itself, with `key`. */
  readonly issuer: Issuer | { readonly key: KeyObject };
  readonly purposes: readonly Purpose[];
  /** Names and addresses of hosts. */
  readonly hosts: readonly string[];
  readonly uris: readonly string[];
  readonly nowMs: number;
  readonly endMs: number;
}

/** A certificate's line in a list. */
export interface RevocationEntry {
  readonly serialNumber: string;
  readonly revocationDate: Date;
  readonly extensions: readonly Extension[];
}

/** Clocks differ: it is valid since a little before it was made. */
const SKEW_MS = 5 * 60_000;

/** Makes a certificate, as RFC 5280 has it. PEM. */
export async function makeCertificate(
  request: CertificateRequest,
): Promise<string> {
  const x509 = await loadX509();
  const { issuer, purposes, nowMs, endMs } = request;
  const publicKey = new x509.PublicKey(
    request.publicKey.export({ type: "spki", format: "der" }),
  );
  const subject = new x509.Name([{ CN: [{ utf8String: request.name }] }]);
  const by =
    "certificate" in issuer
      ? authorityOf(x509, issuer)
      : { name: subject, publicKey };
  const isAuthority = purposes.includes("authority");
  const { KeyUsageFlags } = x509;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject,
      issuer: by.name,
      notBefore: wholeSeconds(nowMs - SKEW_MS),
      notAfter: wholeSeconds(endMs),
      publicKey,
      ...(await signer(issuer.key)),
      extensions: [
        // An authority, and none below it.
        new x509.BasicConstraintsExtension(
          isAuthority,
          isAuthority ? 0 : undefined,
          true,
        ),
        // Signing certificates and lists, or the handshake.
        new x509.KeyUsagesExtension(
          // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- flags together are a number to TypeScript
          isAuthority
            ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign
            : KeyUsageFlags.digitalSignature,
          true,
        ),
        ...extendedUsage(x509, purposes),
        ...alternativeNames(x509, request),
        await x509.SubjectKeyIdentifierExtension.create(
          publicKey,
          false,
          webcrypto,
        ),
        await authorityKeyId(x509, by.publicKey),
      ],
    },
    webcrypto,
  );
  return `${certificate.toString("pem")}\n`;
}

/** Makes a list of revoked certificates. PEM. */
export async function makeRevocationList(
  issuer: Issuer,
  entries: readonly RevocationEntry[],
  times: { readonly nowMs: number; readonly nextMs: number },
): Promise<string> {
  const x509 = await loadX509();
  const { name, publicKey } = authorityOf(x509, issuer);
  const list = await x509.X509CrlGenerator.create(
    {
      issuer: name,
      thisUpdate: wholeSeconds(times.nowMs - SKEW_MS),
      nextUpdate: wholeSeconds(times.nextMs),
      entries: entries.map(lineOf),
      ...(await signer(issuer.key)),
      extensions: [
        await authorityKeyId(x509, publicKey),
        crlNumber(x509, entries.length + 1),
      ],
    },
    webcrypto,
  );
  // Its own label is "CRL", which OpenSSL does not take.
  return `${x509.PemConverter.encode(list.rawData, "X509 CRL")}\n`;
}

/** The line of a certificate that is revoked now. */
export function revocationEntry(
  certificate: X509Certificate,
  nowMs: number,
): RevocationEntry {
  return {
    serialNumber: evenHex(certificate.serialNumber),
    revocationDate: wholeSeconds(nowMs),
    extensions: [],
  };
}

/**
 * A line with an extension at least. For one that has none the library writes an empty list of them, which RFC 5280
 * does not allow. So it says what goes without saying: since when the certificate is not valid.
 */
function lineOf(entry: RevocationEntry): X509CrlEntryParams {
  const { serialNumber, revocationDate, extensions } = entry;
  return extensions.length > 0
    ? { serialNumber, revocationDate, extensions: [...extensions] }
    : { serialNumber, revocationDate, invalidity: revocationDate };
}

/** An authority's name, byte by byte as in its certificate: issuers are compared so. And its key. */
function authorityOf(
  x509: X509,
  { certificate }: Issuer,
): { readonly name: Name; readonly publicKey: PublicKey } {
  const { subjectName, publicKey } = new x509.X509Certificate(certificate.raw);
  return { name: subjectName, publicKey };
}

type SigningAlgorithm =
  | { readonly name: "Ed25519" }
  | { readonly name: "RSASSA-PKCS1-v1_5"; readonly hash: "SHA-256" }
  | {
      readonly name: "ECDSA";
      readonly namedCurve: string;
      readonly hash: "SHA-256";
    };

async function signer(key: KeyObject): Promise<{
  readonly signingKey: webcrypto.CryptoKey;
  readonly signingAlgorithm: SigningAlgorithm;
}> {
  const algorithm = algorithmOf(key);
  return {
    signingAlgorithm: algorithm,
    signingKey: await webcrypto.subtle.importKey(
      "pkcs8",
      key.export({ type: "pkcs8", format: "der" }),
      algorithm,
      false,
      ["sign"],
    ),
  };
}

const CURVES: ReadonlyMap<string | undefined, string> = new Map([
  ["prime256v1", "P-256"],
  ["secp384r1", "P-384"],
  ["secp521r1", "P-521"],
]);

function algorithmOf(key: KeyObject): SigningAlgorithm {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const namedCurve = CURVES.get(curve);
  if (namedCurve !== undefined)
    return { name: "ECDSA", namedCurve, hash: "SHA-256" };
  switch (key.asymmetricKeyType) {
    case "rsa":
      return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    case "ed25519":
      return { name: "Ed25519" };
    default:
      throw new TypeError(
        `a key of type ${curve ?? key.asymmetricKeyType ?? key.type} cannot sign certificates here`,
      );
  }
}

function extendedUsage(x509: X509, purposes: readonly Purpose[]): Extension[] {
  const { ExtendedKeyUsage, ExtendedKeyUsageExtension } = x509;
  const usages = [
    ...(purposes.includes("server") ? [ExtendedKeyUsage.serverAuth] : []),
    ...(purposes.includes("client") ? [ExtendedKeyUsage.clientAuth] : []),
  ];
  return usages.length === 0 ? [] : [new ExtendedKeyUsageExtension(usages)];
}

function alternativeNames(
  { SubjectAlternativeNameExtension }: X509,
  { hosts, uris }: CertificateRequest,
): Extension[] {
  const names = [
    ...hosts.map((host) =>
      isIP(host) === 0
        ? ({ type: "dns", value: host } as const)
        : ({ type: "ip", value: plainAddress(host) } as const),
    ),
    ...uris.map((value) => ({ type: "url", value }) as const),
  ];
  return names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)];
}

/** An address with hexadecimal groups only: of "::ffff:10.0.0.5" the library would make another one. */
function plainAddress(address: string): string {
  return isIP(address) === 4
    ? address
    : new URL(`http://[${address}]`).hostname.slice(1, -1);
}

function authorityKeyId(x509: X509, publicKey: PublicKey): Promise<Extension> {
  return x509.AuthorityKeyIdentifierExtension.create(
    publicKey,
    false,
    webcrypto,
  );
}

/** The list's number, an INTEGER, which is the one extension that the library has no words for. */
function crlNumber({ Extension }: X509, value: number): Extension {
  const hex = evenHex(value.toString(16));
  // A set first bit would say that it is negative.
  const digits = Buffer.from(/^[89a-f]/.test(hex) ? `00${hex}` : hex, "hex");
  return new Extension(
    "2.5.29.20",
    false,
    Buffer.from([0x02, digits.length, ...digits]),
  );
}

/** 127 random bits, and not zero. Hexadecimal digits. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString("hex");
}

/** Hexadecimal digits of whole bytes. */
function evenHex(digits: string): string {
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** RFC 5280 has no fractions of seconds. */
function wholeSeconds(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}
