import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import type { PeerCertificate } from "../peer.ts";
import {
  describeCertificate,
  fingerprintOf,
  isAllowed,
  namesOf,
  nodeIdsOf,
} from "./certificate-names.ts";
import { shownBeside, type Chain, type Chains } from "./chains.ts";
import { HandshakeError, type HandshakeFailure } from "./handshake-report.ts";
import { oneLine } from "./material.ts";
import type { Revocations } from "./revocations.ts";

/** What peers must be like. */
export interface PeerRules {
  readonly nowMs: number;
  /** Shared mode: the fingerprints that are accepted, the own one first. */
  readonly pins: ReadonlyMap<string, number> | undefined;
  readonly revocations: Revocations | undefined;
  readonly allowedNames: readonly string[];
  /** The host that was dialled; undefined for who dialled us. */
  readonly host: string | undefined;
  readonly chains: Chains;
  /** Of a resumed session: the chain that it was agreed upon with. Node does not give it to the client again. */
  readonly known: readonly X509Certificate[] | undefined;
}

/** Who the peer is. */
export interface CheckedPeer {
  readonly peer: PeerCertificate;
  /** Its certificate and those above it. In shared mode there are none above. */
  readonly chain: Chain;
}

/**
 * Checks the peer of a finished handshake; of a resumed one too, whose peer was checked long ago. OpenSSL has done its
 * part, but does not refuse anybody: only so there are words for it.
 *
 * @throws HandshakeError
 */
export function checkPeer(socket: TLSSocket, rules: PeerRules): CheckedPeer {
  const { nowMs, pins, revocations, host } = rules;
  const certificate = socket.getPeerX509Certificate() ?? rules.known?.[0];
  if (certificate === undefined)
    throw new HandshakeError(
      "no_certificate",
      "it has shown no certificate: it needs --cluster-cert and --cluster-key",
    );
  const who = `the certificate of ${oneLine(certificate.subject) || "nobody"}`;
  if (pins !== undefined) checkPin(certificate, pins);
  checkTimes(certificate, nowMs, who);
  let chain: Chain = { chain: rules.known ?? [certificate], whole: true };
  if (pins === undefined) {
    if (revocations?.has(certificate) === true)
      throw new HandshakeError("revoked", `${who} is revoked`);
    if (!socket.authorized) throw unauthorised(socket, certificate, who);
    chain = checkChain(socket, certificate, who, rules);
    checkNames(certificate, who, rules);
    if (host !== undefined) checkHost(host, certificate);
  }
  return { peer: describeCertificate(certificate, pins === undefined), chain };
}

/** What OpenSSL has looked at when a session was agreed upon, and not again when it was resumed. */
function checkChain(
  socket: TLSSocket,
  certificate: X509Certificate,
  who: string,
  { nowMs, revocations, chains, known }: PeerRules,
): Chain {
  if (revocations !== undefined && revocations.nextUpdateMs < nowMs)
    throw new HandshakeError(
      "revocation_unknown",
      `${who} cannot be checked: a list in --cluster-crl is out of date since ${new Date(revocations.nextUpdateMs).toISOString()}`,
    );
  const isResumed = socket.isSessionReused();
  const shown = isResumed ? [] : shownBeside(certificate);
  const { chain, whole } =
    known === undefined
      ? chains.above(certificate, shown)
      : { chain: known, whole: true };
  if (isResumed && !whole)
    throw new HandshakeError(
      "chain_unknown",
      `${who} is by an authority that is not known since this process has started, so its session is not resumed: it will come back without. With the certificates between in --cluster-ca it need not`,
    );
  const [, ...above] = chain;
  for (const each of above) {
    const name = `${oneLine(each.subject)}, which is above ${who},`;
    if (revocations?.has(each) === true)
      throw new HandshakeError("revoked", `${name} is revoked`);
    checkTimes(each, nowMs, name);
  }
  if (!isResumed && whole) chains.learn(above);
  return { chain, whole };
}

function checkPin(
  certificate: X509Certificate,
  pins: ReadonlyMap<string, number>,
): void {
  const theirs = fingerprintOf(certificate);
  if (pins.has(theirs)) return;
  const [ours = ""] = pins.keys();
  throw new HandshakeError(
    "not_pinned",
    `its certificate is not the pinned one: theirs has SHA-256 ${theirs}, ours ${ours}. Without --cluster-ca both sides need the same certificate`,
  );
}

function checkTimes(
  certificate: X509Certificate,
  nowMs: number,
  who: string,
): void {
  const end = Date.parse(certificate.validTo);
  if (nowMs > end)
    throw new HandshakeError(
      "expired",
      `${who} has expired on ${new Date(end).toISOString()}`,
    );
  const start = Date.parse(certificate.validFrom);
  if (nowMs < start)
    throw new HandshakeError(
      "not_yet_valid",
      `${who} is not valid before ${new Date(start).toISOString()}, and here it is ${new Date(nowMs).toISOString()}: is a clock wrong?`,
    );
}

function checkNames(
  certificate: X509Certificate,
  who: string,
  { allowedNames, host }: PeerRules,
): void {
  const names = namesOf(certificate);
  if (allowedNames.length > 0 && !isAllowed(names, allowedNames)) {
    const all = [names.commonName ?? "", ...names.dns, ...names.uris];
    throw new HandshakeError(
      "name_not_allowed",
      `no name of its certificate is in --cluster-allowed-names: it has ${all.filter((name) => name !== "").join(", ") || "none"}`,
    );
  }
  if (host !== undefined) return;
  const ids = nodeIdsOf(names);
  if (ids.length === 0)
    throw new HandshakeError(
      "no_node_name",
      `${who} names no node: it needs a URI holdfast:node:ID, or else one common name`,
    );
  if (ids.length > 1)
    throw new HandshakeError(
      "several_nodes",
      `${who} names several nodes, ${ids.join(", ")}, and may name one`,
    );
}

function checkHost(host: string, certificate: X509Certificate): void {
  const isRight =
    isIP(host) === 0
      ? certificate.checkHost(host, { subject: "never" })
      : certificate.checkIP(host);
  if (isRight !== undefined) return;
  const { dns, ips } = namesOf(certificate);
  throw new HandshakeError(
    "wrong_server_name",
    `its certificate is not for "${host}", the host in --control-plane, but for ${[...dns, ...ips].join(", ") || "no host at all"}`,
  );
}

const BY_CODE: Readonly<
  Record<string, readonly [HandshakeFailure, reason: string]>
> = {
  CERT_REVOKED: ["revoked", "is revoked"],
  CERT_HAS_EXPIRED: ["expired", "or one above it has expired"],
  CERT_NOT_YET_VALID: [
    "not_yet_valid",
    "or one above it is not valid yet: is a clock wrong?",
  ],
  UNABLE_TO_GET_CRL: [
    "revocation_unknown",
    "is by an authority of which --cluster-crl has no list; there must be one for each",
  ],
  CRL_HAS_EXPIRED: [
    "revocation_unknown",
    "cannot be checked: the list in --cluster-crl is out of date",
  ],
  CRL_NOT_YET_VALID: [
    "revocation_unknown",
    "cannot be checked: the list in --cluster-crl is not valid yet",
  ],
  CRL_SIGNATURE_FAILURE: [
    "revocation_unknown",
    "cannot be checked: the list in --cluster-crl is not signed by its authority",
  ],
  INVALID_PURPOSE: [
    "wrong_purpose",
    "is not made for this: a control plane's needs serverAuth and clientAuth, a data plane's clientAuth",
  ],
};

/** What OpenSSL found, in words. */
function unauthorised(
  socket: TLSSocket,
  certificate: X509Certificate,
  who: string,
): HandshakeError {
  const found: unknown = socket.authorizationError;
  const code =
    found instanceof Error && "code" in found
      ? String(found.code)
      : String(found);
  const known = BY_CODE[code];
  if (known !== undefined)
    return new HandshakeError(known[0], `${who} ${known[1]}`);
  if (/SELF_SIGNED|ISSUER|VERIFY_LEAF|SIGNATURE_FAILURE|INVALID_CA/.test(code))
    return new HandshakeError(
      "unknown_ca",
      `${who} is by no authority in --cluster-ca: its issuer is ${oneLine(certificate.issuer) || "nobody"} (${code})`,
    );
  return new HandshakeError("other", `${who} is refused: ${code}`);
}
