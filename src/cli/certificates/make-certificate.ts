import {
  createHash,
  randomBytes,
  sign,
  type KeyObject,
  type X509Certificate,
} from "node:crypto";
import { isIP } from "node:net";
import {
  der,
  derInteger,
  derOid,
  derTime,
  readDer,
  TAG,
} from "../../runtime/tls/der.ts";

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

/** Clocks differ: it is valid since a little before it was made. */
const SKEW_MS = 5 * 60_000;

const OID = {
  commonName: "2.5.4.3",
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  alternativeNames: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  ed25519: "1.3.101.112",
} as const;

/** Makes a certificate, as RFC 5280 has it. PEM. */
export function makeCertificate(request: CertificateRequest): string {
  const { publicKey, issuer, purposes, nowMs } = request;
  const subject = nameOf(request.name);
  const keyInfo = publicKey.export({ type: "spki", format: "der" });
  const keyId = keyIdOf(keyInfo);
  const isAuthority = purposes.includes("authority");
  const algorithm = algorithmOf(issuer.key);
  const extensions = [
    extension(
      OID.basicConstraints,
      true,
      der(
        TAG.sequence,
        // An authority, and none below it.
        ...(isAuthority ? [derTrue(), derInteger(Buffer.from([0]))] : []),
      ),
    ),
    // Signing certificates and lists, or the handshake.
    extension(
      OID.keyUsage,
      true,
      der(
        TAG.bitString,
        isAuthority ? Buffer.from([1, 0x06]) : Buffer.from([7, 0x80]),
      ),
    ),
    ...extendedUsage(purposes),
    ...alternativeNames(request),
    extension(OID.subjectKeyId, false, der(TAG.octetString, keyId)),
    authorityKeyId(
      "certificate" in issuer
        ? keyIdOf(
            issuer.certificate.publicKey.export({
              type: "spki",
              format: "der",
            }),
          )
        : keyId,
    ),
  ];
  return signed("CERTIFICATE", issuer.key, [
    der(0xa0, derInteger(Buffer.from([2]))),
    derInteger(serialNumber()),
    algorithm,
    "certificate" in issuer ? subjectOf(issuer.certificate) : subject,
    der(TAG.sequence, derTime(nowMs - SKEW_MS), derTime(request.endMs)),
    subject,
    keyInfo,
    der(0xa3, der(TAG.sequence, ...extensions)),
  ]);
}

/** Makes a list of revoked certificates. `entries`: as {@link revocationEntry} makes them. PEM. */
export function makeRevocationList(
  issuer: Issuer,
  entries: readonly Buffer[],
  times: { readonly nowMs: number; readonly nextMs: number },
): string {
  const spki = issuer.certificate.publicKey.export({
    type: "spki",
    format: "der",
  });
  const number = Buffer.alloc(4);
  number.writeUInt32BE(entries.length + 1);
  return signed("X509 CRL", issuer.key, [
    derInteger(Buffer.from([1])),
    algorithmOf(issuer.key),
    subjectOf(issuer.certificate),
    derTime(times.nowMs - SKEW_MS),
    derTime(times.nextMs),
    // Not there at all when there is nothing in it.
    ...(entries.length === 0 ? [] : [der(TAG.sequence, ...entries)]),
    der(
      0xa0,
      der(
        TAG.sequence,
        authorityKeyId(keyIdOf(spki)),
        extension(OID.crlNumber, false, derInteger(number)),
      ),
    ),
  ]);
}

/** A certificate's line in a list. */
export function revocationEntry(
  certificate: X509Certificate,
  nowMs: number,
): Buffer {
  return der(
    TAG.sequence,
    derInteger(Buffer.from(evenHex(certificate.serialNumber), "hex")),
    derTime(nowMs),
  );
}

function signed(
  label: string,
  key: KeyObject,
  fields: readonly Buffer[],
): string {
  const body = der(TAG.sequence, ...fields);
  const digest = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  const signature = sign(digest, body, key);
  const bytes = der(
    TAG.sequence,
    body,
    algorithmOf(key),
    der(TAG.bitString, Buffer.from([0]), signature),
  );
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function algorithmOf(key: KeyObject): Buffer {
  switch (key.asymmetricKeyType) {
    case "ec":
      return der(TAG.sequence, derOid(OID.ecdsaWithSha256));
    case "rsa":
      return der(TAG.sequence, derOid(OID.sha256WithRsa), der(0x05));
    case "ed25519":
      return der(TAG.sequence, derOid(OID.ed25519));
    default:
      throw new TypeError(
        `a key of type ${key.asymmetricKeyType ?? key.type} cannot sign certificates here`,
      );
  }
}

function nameOf(commonName: string): Buffer {
  return der(
    TAG.sequence,
    der(
      TAG.set,
      der(
        TAG.sequence,
        derOid(OID.commonName),
        der(TAG.utf8String, Buffer.from(commonName)),
      ),
    ),
  );
}

/** The subject of a certificate, byte by byte: issuers are compared so. */
function subjectOf(certificate: X509Certificate): Buffer {
  const [outer] = readDer(certificate.raw);
  const [body] = readDer(outer?.content ?? Buffer.alloc(0));
  const fields = readDer(body?.content ?? Buffer.alloc(0));
  const subject = fields[fields[0]?.tag === 0xa0 ? 5 : 4];
  if (subject === undefined)
    throw new TypeError("a certificate without a subject");
  return subject.bytes;
}

function extendedUsage(purposes: readonly Purpose[]): Buffer[] {
  const usages = [
    ...(purposes.includes("server") ? [derOid(OID.serverAuth)] : []),
    ...(purposes.includes("client") ? [derOid(OID.clientAuth)] : []),
  ];
  return usages.length === 0
    ? []
    : [extension(OID.extendedKeyUsage, false, der(TAG.sequence, ...usages))];
}

function alternativeNames({ hosts, uris }: CertificateRequest): Buffer[] {
  const names = [
    ...hosts.map((host) =>
      isIP(host) === 0
        ? der(0x82, Buffer.from(host))
        : der(0x87, addressBytes(host)),
    ),
    ...uris.map((uri) => der(0x86, Buffer.from(uri))),
  ];
  return names.length === 0
    ? []
    : [extension(OID.alternativeNames, false, der(TAG.sequence, ...names))];
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  // The URL parser writes it in its one form, with hexadecimal groups only.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = groups.split("::");
  const split = (part: string): string[] =>
    part === "" ? [] : part.split(":");
  const left = split(head);
  const right = split(tail ?? "");
  const all = [
    ...left,
    ...Array.from({ length: 8 - left.length - right.length }, () => "0"),
    ...right,
  ];
  return Buffer.from(
    all.map((group) => group.padStart(4, "0")).join(""),
    "hex",
  );
}

function authorityKeyId(keyId: Buffer): Buffer {
  return extension(
    OID.authorityKeyId,
    false,
    der(TAG.sequence, der(0x80, keyId)),
  );
}

function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return der(
    TAG.sequence,
    derOid(oid),
    ...(critical ? [derTrue()] : []),
    der(TAG.octetString, value),
  );
}

function derTrue(): Buffer {
  return der(TAG.boolean, Buffer.from([0xff]));
}

/** SHA-1 of the key's bits: a name for it, which nothing relies on. */
function keyIdOf(spki: Buffer): Buffer {
  const [outer] = readDer(spki);
  const [, bits] = readDer(outer?.content ?? Buffer.alloc(0));
  return createHash("sha1")
    .update(bits?.content.subarray(1) ?? spki)
    .digest();
}

/** 127 random bits, and not zero. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes;
}

/** Hexadecimal digits of whole bytes. */
export function evenHex(digits: string): string {
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}
