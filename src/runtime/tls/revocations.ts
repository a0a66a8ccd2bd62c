import type { X509Certificate } from "node:crypto";
import { readDer, TAG, timeOf, type DerValue } from "./der.ts";

/** Which certificates authorities have taken back. Signatures are not checked here: OpenSSL does when it is given the list. */
export interface Revocations {
  /** By {@link identityOf} its certificate. */
  has(identity: string): boolean;
  /** When the first of the lists is out of date; Infinity when none says. */
  readonly nextUpdateMs: number;
}

/** Reads revocation lists in PEM. Throws an Error that says what is wrong with the text. */
export function readRevocations(pem: string): Revocations {
  const blocks = [
    ...pem.matchAll(
      /-----BEGIN X509 CRL-----(?<data>[^-]*)-----END X509 CRL-----/g,
    ),
  ];
  if (blocks.length === 0)
    throw new Error(
      'it is no revocation list in PEM ("-----BEGIN X509 CRL----- … -----END X509 CRL-----")',
    );
  const revoked = new Set<string>();
  let nextUpdateMs = Infinity;
  for (const block of blocks)
    try {
      const list = readList(
        Buffer.from(block.groups?.["data"] ?? "", "base64"),
      );
      nextUpdateMs = Math.min(nextUpdateMs, list.nextUpdateMs);
      for (const serial of list.serials)
        revoked.add(`${list.issuer} ${serial}`);
    } catch (error) {
      throw new Error("the revocation list in it is damaged", { cause: error });
    }
  return {
    nextUpdateMs,
    has: (identity) => revoked.has(identity),
  };
}

function readList(bytes: Buffer): {
  readonly issuer: string;
  readonly serials: readonly string[];
  readonly nextUpdateMs: number;
} {
  const [outer] = readDer(bytes);
  const [list] = readDer(contentOf(outer, TAG.sequence));
  const fields = readDer(contentOf(list, TAG.sequence));
  // Its version, which is only there when it is not the first.
  if (fields[0]?.tag === TAG.integer) fields.shift();
  const [, issuer, , ...rest] = fields;
  let nextUpdateMs = Infinity;
  if (rest[0]?.tag === TAG.utcTime || rest[0]?.tag === TAG.generalizedTime) {
    nextUpdateMs = timeOf(rest[0]);
    rest.shift();
  }
  const [entries] = rest;
  return {
    issuer: Buffer.from(contentOf(issuer, TAG.sequence)).toString("base64"),
    serials:
      entries?.tag === TAG.sequence
        ? readDer(entries.content).map((entry) =>
            contentOf(
              readDer(contentOf(entry, TAG.sequence))[0],
              TAG.integer,
            ).toString("hex"),
          )
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
  return `${contentOf(issuer, TAG.sequence).toString("base64")} ${contentOf(serial, TAG.integer).toString("hex")}`;
}

function contentOf(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag !== tag)
    throw new RangeError(
      `tag ${String(value?.tag ?? "none")} where ${tag} should be`,
    );
  return value.content;
}
