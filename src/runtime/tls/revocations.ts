import type { X509Certificate } from "node:crypto";
import { readDer, TAG, timeOf, type DerValue } from "./der.ts";

/** Which certificates authorities have taken back. Signatures are not checked here: OpenSSL does when it is given the list. */
export interface Revocations {
  /** By {@link identityOf} its certificate. */
  has(identity: string): boolean;
  /** When the first of the lists is out of date; Infinity when none says. */
  readonly nextUpdateMs: number;
}

/** A certificate's line in a list. */
export interface RevocationEntry {
  /** Lower-case hex, without the zeros in front that DER puts there. */
  readonly serial: string;
  readonly bytes: Buffer;
}

interface RevocationList {
  /** The authority's name, byte by byte. */
  readonly issuer: Buffer;
  readonly entries: readonly RevocationEntry[];
  readonly nextUpdateMs: number;
}

/** Reads revocation lists in PEM. Throws an Error that says what is wrong with the text. */
export function readRevocations(pem: string): Revocations {
  const revoked = new Set<string>();
  let nextUpdateMs = Infinity;
  for (const list of readLists(pem)) {
    nextUpdateMs = Math.min(nextUpdateMs, list.nextUpdateMs);
    for (const { serial } of list.entries)
      revoked.add(identity(list.issuer, serial));
  }
  return { nextUpdateMs, has: (name) => revoked.has(name) };
}

/** The lines of all lists in a text. Throws like {@link readRevocations}. */
export function revocationEntries(pem: string): readonly RevocationEntry[] {
  return readLists(pem).flatMap(({ entries }) => entries);
}

function readLists(pem: string): readonly RevocationList[] {
  const blocks = [
    ...pem.matchAll(
      /-----BEGIN X509 CRL-----(?<data>[^-]*)-----END X509 CRL-----/g,
    ),
  ];
  if (blocks.length === 0)
    throw new Error(
      'it is no revocation list in PEM ("-----BEGIN X509 CRL----- … -----END X509 CRL-----")',
    );
  return blocks.map(({ groups }) => {
    try {
      return readList(Buffer.from(groups?.["data"] ?? "", "base64"));
    } catch (cause) {
      throw new Error("the revocation list in it is damaged", { cause });
    }
  });
}

function readList(bytes: Buffer): RevocationList {
  const [outer] = readDer(bytes);
  const [list] = readDer(contentOf(outer, TAG.sequence));
  const fields = readDer(contentOf(list, TAG.sequence));
  // Its version, which is only there when it is not the first.
  if (fields[0]?.tag === TAG.integer) fields.shift();
  const [, issuer, , ...rest] = fields;
  let nextUpdateMs = Infinity;
  const [next] = rest;
  if (next?.tag === TAG.utcTime || next?.tag === TAG.generalizedTime) {
    nextUpdateMs = timeOf(next);
    rest.shift();
  }
  const [entries] = rest;
  return {
    issuer: contentOf(issuer, TAG.sequence),
    entries:
      entries?.tag === TAG.sequence
        ? readDer(entries.content).map((entry) => ({
            serial: serialOf(readDer(contentOf(entry, TAG.sequence))[0]),
            bytes: entry.bytes,
          }))
        : [],
    nextUpdateMs,
  };
}

/** A certificate's issuer and serial number, by which lists name it. */
export function identityOf(certificate: X509Certificate): string {
  const [outer] = readDer(certificate.raw);
  const [body] = readDer(contentOf(outer, TAG.sequence));
  const fields = readDer(contentOf(body, TAG.sequence));
  const [serial, , issuer] =
    fields[0]?.tag === TAG.integer ? fields : fields.slice(1);
  return identity(contentOf(issuer, TAG.sequence), serialOf(serial));
}

function identity(issuer: Buffer, serial: string): string {
  return `${issuer.toString("base64")} ${serial}`;
}

function serialOf(value: DerValue | undefined): string {
  return contentOf(value, TAG.integer)
    .toString("hex")
    .replace(/^(?:00)+(?=.)/, "");
}

function contentOf(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag !== tag)
    throw new RangeError(
      `tag ${String(value?.tag ?? "none")} where ${tag} should be`,
    );
  return value.content;
}
