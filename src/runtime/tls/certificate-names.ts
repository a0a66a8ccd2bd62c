import { createHash, type X509Certificate } from "node:crypto";
// First: when a certificate is the first to load it, by toLegacyObject, it is left without half of what it exports.
import "node:tls";
import type { PeerCertificate } from "../peer.ts";

/** What the URI in a certificate that names its node begins with. */
export const NODE_URI = "holdfast:node:";

/** What a URI in a certificate that names a workspace begins with. */
export const WORKSPACE_URI = "holdfast:workspace:";

/** The names that a certificate has. */
export interface CertificateNames {
  /** The subject's common name; undefined when there is none or there are several. */
  readonly commonName: string | undefined;
  readonly dns: readonly string[];
  readonly uris: readonly string[];
  readonly ips: readonly string[];
}

/** Reads the names of a certificate. */
export function namesOf(certificate: X509Certificate): CertificateNames {
  const names: Record<"dns" | "uris" | "ips", string[]> = {
    dns: [],
    uris: [],
    ips: [],
  };
  const lists = new Map([
    ["DNS", names.dns],
    ["URI", names.uris],
    ["IP Address", names.ips],
  ]);
  for (const { type, value } of alternativeNames(
    certificate.subjectAltName ?? "",
  ))
    lists.get(type)?.push(value);
  const commonName: unknown = certificate.toLegacyObject().subject.CN;
  return {
    ...names,
    commonName: typeof commonName === "string" ? commonName : undefined,
  };
}

/** Takes `DNS:a.example, URI:"x, y"` apart; what is in quotes is JSON. */
function* alternativeNames(
  text: string,
): Generator<{ readonly type: string; readonly value: string }> {
  const form =
    /(?<type>[A-Za-z ]+):(?<value>"(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;
  for (const { groups } of text.matchAll(form)) {
    const type = groups?.["type"] ?? "";
    const value = groups?.["value"] ?? "";
    yield {
      type,
      value: value.startsWith('"') ? (JSON.parse(value) as string) : value,
    };
  }
}

/** The nodes that a certificate names: by its URIs, else by its common name. None and more than one bind to nobody. */
export function nodeIdsOf(names: CertificateNames): readonly string[] {
  const byUri = afterPrefix(names.uris, NODE_URI).filter((id) => id !== "");
  if (byUri.length > 0) return byUri;
  return names.commonName === undefined || names.commonName === ""
    ? []
    : [names.commonName];
}

/** The workspaces that a certificate is for. None: it does not say. An empty name is of none that there is. */
export function workspacesOf({ uris }: CertificateNames): readonly string[] {
  return afterPrefix(uris, WORKSPACE_URI);
}

function afterPrefix(
  uris: readonly string[],
  prefix: string,
): readonly string[] {
  return uris
    .filter((uri) => uri.startsWith(prefix))
    .map((uri) => uri.slice(prefix.length));
}

/** Whether one of a certificate's names is allowed: it is one of the patterns, or "*.example.com" stands for it. */
export function isAllowed(
  { commonName, dns, uris }: CertificateNames,
  patterns: readonly string[],
): boolean {
  const names = [
    ...(commonName === undefined ? [] : [commonName]),
    ...dns,
    ...uris,
  ];
  return patterns.some((pattern) =>
    names.some((name) => matches(name, pattern)),
  );
}

/** What is wrong with a pattern that can match nothing; undefined when it is right. */
export function wrongPattern(pattern: string): string | undefined {
  const rest = pattern.startsWith("*.") ? pattern.slice(2) : pattern;
  if (rest !== "" && !rest.includes("*")) return undefined;
  return `"${pattern}" stands for no name: a * can only be the whole first part, as in *.edge.example`;
}

function matches(name: string, pattern: string): boolean {
  // A URI is what it is; names of hosts have no case.
  if (name === pattern) return true;
  if (name.includes(":")) return false;
  const lower = name.toLowerCase();
  const wanted = pattern.toLowerCase();
  if (!wanted.startsWith("*.")) return lower === wanted;
  const dot = lower.indexOf(".");
  return dot > 0 && lower.slice(dot) === wanted.slice(1);
}

/** What a certificate says; `binds`: whether it binds its holder to the node and the workspaces it names. */
export function describeCertificate(
  certificate: X509Certificate,
  binds: boolean,
): PeerCertificate {
  const names = namesOf(certificate);
  return {
    name: names.commonName ?? "",
    nodeId: binds ? nodeIdsOf(names)[0] : undefined,
    workspaces: binds ? workspacesOf(names) : [],
    expiresAtMs: Date.parse(certificate.validTo),
    fingerprint: fingerprintOf(certificate),
  };
}

/** SHA-256 of the whole certificate, lower-case hex. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}
