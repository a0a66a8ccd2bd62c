import type { X509Certificate } from "node:crypto";
import type {
  CaCertificate,
  Certificate,
} from "../../gen/holdfast/config/v1/certificate_pb.js";
import { caDigest, parseCertificates, parsePrivateKey } from "../pem.ts";
import { show, type Problem } from "../problem.ts";
import { serverNameProblems } from "./route.ts";

/** What is wrong with a certificate beyond the rules of its single fields. */
export function certificateProblems(certificate: Certificate): Problem[] {
  const main = pairProblems(certificate.cert, certificate.key, "cert", "key");
  const alt = pairProblems(
    certificate.certAlt,
    certificate.keyAlt,
    "cert_alt",
    "key_alt",
  );
  return [
    ...main.problems,
    ...alt.problems,
    ...(main.type !== undefined && main.type === alt.type
      ? [
          {
            field: "cert_alt",
            reason: `must have another type of key than cert; both have ${main.type}`,
          },
        ]
      : []),
    ...certificate.snis.flatMap((sni, i) =>
      serverNameProblems(sni, `snis[${i}]`),
    ),
  ];
}

/** What is wrong with a CA certificate beyond the rules of its single fields. */
export function caCertificateProblems(ca: CaCertificate): Problem[] {
  if (ca.cert === "") return [];
  const parsed = parseCertificates(ca.cert);
  if (!parsed.ok) return [{ field: "cert", reason: parsed.reason }];
  const [certificate] = parsed.value;
  if (parsed.value.length > 1 || certificate === undefined)
    return [
      {
        field: "cert",
        reason: `must be a single certificate, got ${parsed.value.length}: make a resource of each`,
      },
    ];
  const problems: Problem[] = [];
  if (!certificate.ca)
    problems.push({
      field: "cert",
      reason: `is not the certificate of an authority (${oneLine(certificate.subject)}): it lacks the basic constraint CA`,
    });
  const digest = caDigest(ca.cert);
  if (ca.certDigest !== digest)
    problems.push({
      field: "cert_digest",
      reason: `must be ${show(digest)}, the SHA-256 of cert, got ${show(ca.certDigest)}: leave it out to have it computed`,
    });
  return problems;
}

/** When a certificate is out of date, what to say about it. */
export function expiryNote(pem: string, nowMs: number): string | undefined {
  const parsed = parseCertificates(pem);
  const certificate = parsed.ok ? parsed.value[0] : undefined;
  if (certificate === undefined) return undefined;
  if (Date.parse(certificate.validTo) < nowMs)
    return `has expired on ${certificate.validTo}`;
  if (Date.parse(certificate.validFrom) > nowMs)
    return `is valid only from ${certificate.validFrom} on`;
  return undefined;
}

function pairProblems(
  cert: string,
  key: string,
  certField: string,
  keyField: string,
): { readonly problems: Problem[]; readonly type?: string } {
  const problems: Problem[] = [];
  let certificate: X509Certificate | undefined;
  if (cert !== "") {
    const parsed = parseCertificates(cert);
    if (parsed.ok) certificate = parsed.value[0];
    else problems.push({ field: certField, reason: parsed.reason });
  }
  const type = certificate?.publicKey.asymmetricKeyType;
  if (key === "") return { problems };
  const privateKey = parsePrivateKey(key);
  if (!privateKey.ok)
    problems.push({ field: keyField, reason: privateKey.reason });
  else if (certificate?.checkPrivateKey(privateKey.value) === false)
    problems.push({
      field: keyField,
      reason: `is not the private key of ${certField} (${oneLine(certificate.subject)})`,
    });
  return type === undefined ? { problems } : { problems, type };
}

function oneLine(subject: string): string {
  return subject.replaceAll("\n", ", ");
}
