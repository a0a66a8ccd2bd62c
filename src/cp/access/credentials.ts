import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { HttpRequest } from "../../runtime/http-listener.ts";
import { namesOf } from "../../runtime/tls/certificate-names.ts";
import { digestOf, isToken } from "./token.ts";

/** What a request proves of who makes it. The token itself is not kept. */
export interface Credentials {
  /** SHA-256 of the token; "none": there is no header; "unusable": it is no bearer token of ours. */
  readonly token: Buffer | "none" | "unusable";
  readonly certificate: ClientCertificate | undefined;
}

/** A client certificate that the listener has verified. */
interface ClientCertificate {
  /** The subject's common name; empty when there is none, or several. */
  readonly name: string;
  readonly expiresAtMs: number;
}

const BEARER = /^bearer +(?<token>\S+) *$/i;

/** Reads the credentials of a request. */
export function credentialsOf(request: HttpRequest): Credentials {
  return {
    token: tokenOf(request.headers.authorization),
    certificate: certificateOf(request),
  };
}

function tokenOf(header: string | undefined): Credentials["token"] {
  if (header === undefined || header === "") return "none";
  const token = BEARER.exec(header)?.groups?.["token"] ?? "";
  return isToken(token) ? digestOf(token) : "unusable";
}

/** Reading a certificate takes longer than a call, and connections live long. */
const known = new WeakMap<object, ClientCertificate | "none">();

function certificateOf(request: HttpRequest): ClientCertificate | undefined {
  const connection =
    "stream" in request ? request.stream.session : request.socket;
  // An HTTP/2 stream that has just been closed has none.
  if (connection === undefined) return undefined;
  let found = known.get(connection);
  if (found === undefined) {
    found = readCertificate(
      ("socket" in connection
        ? connection.socket
        : connection) as Partial<TLSSocket>,
    );
    known.set(connection, found);
  }
  return found === "none" ? undefined : found;
}

/** Only of a socket whose handshake has verified it: a session of HTTP/2 shows the properties of its socket. */
function readCertificate(
  socket: Partial<TLSSocket>,
): ClientCertificate | "none" {
  if (socket.authorized !== true) return "none";
  const certificate: X509Certificate | undefined =
    socket.getPeerX509Certificate?.();
  if (certificate === undefined) return "none";
  return {
    name: namesOf(certificate).commonName ?? "",
    expiresAtMs: Date.parse(certificate.validTo),
  };
}

/** The address that a request comes from; empty when its connection is gone already. */
export function addressOf(request: HttpRequest): string {
  return request.socket.remoteAddress ?? "";
}
