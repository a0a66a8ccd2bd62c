import { createHash, type X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { parseCertificates, parsePrivateKey } from "../../model/pem.ts";
import { ConfigError } from "../../model/violation.ts";
import { listsIn, readRevocations, type Revocations } from "./revocations.ts";

/** The files that a listener of our own is secured with. */
export interface ListenerTlsFiles {
  /** The certificate, followed by those between it and its authority. */
  readonly certFile: string;
  readonly keyFile: string;
  /** The authorities that client certificates must be by. Absent: none is asked for. */
  readonly clientCaFile?: string | undefined;
  /** Revocation lists of those authorities. */
  readonly crlFile?: string | undefined;
}

/** The files, and what their flags are called, for messages: "--admin" for --admin-cert, --admin-key and so on. */
interface FlaggedFiles extends ListenerTlsFiles {
  readonly flags: string;
}

/** The files' contents, unread. */
export interface RawListenerMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  readonly crl: string | undefined;
  /** Changes when any of the files does. */
  readonly digest: string;
}

/** What the files hold, read and checked. */
export interface ListenerMaterial {
  /** Of clients, as text and read. */
  readonly clientCa: string | undefined;
  readonly authorities: readonly X509Certificate[];
  readonly revocations: Revocations | undefined;
  readonly context: SecureContextOptions;
}

/** Reads the files. @throws ConfigError that names the flag and the file. */
export async function readListenerFiles(
  files: FlaggedFiles,
): Promise<RawListenerMaterial> {
  const read = async (flag: string, file: string): Promise<string> => {
    try {
      return await readFile(file, "utf8");
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw problem(files, flag, file, `cannot be read: ${why}`, cause);
    }
  };
  const { certFile, keyFile, clientCaFile, crlFile } = files;
  const cert = await read("cert", certFile);
  const key = await read("key", keyFile);
  const clientCa =
    clientCaFile === undefined
      ? undefined
      : await read("client-ca", clientCaFile);
  const crl = crlFile === undefined ? undefined : await read("crl", crlFile);
  const digest = createHash("sha256")
    .update(JSON.stringify([cert, key, clientCa ?? null, crl ?? null]))
    .digest("hex");
  return { cert, key, clientCa, crl, digest };
}

/** Checks what the files hold. @throws ConfigError that names the flag and the file. */
export async function checkListenerMaterial(
  files: FlaggedFiles,
  { cert, key, clientCa, crl }: RawListenerMaterial,
): Promise<ListenerMaterial> {
  const { certFile, keyFile } = files;
  const certificates = parseCertificates(cert);
  if (!certificates.ok)
    throw problem(files, "cert", certFile, certificates.reason);
  const parsedKey = parsePrivateKey(key);
  if (!parsedKey.ok) throw problem(files, "key", keyFile, parsedKey.reason);
  const [own] = certificates.value as [X509Certificate, ...X509Certificate[]];
  if (!own.checkPrivateKey(parsedKey.value))
    throw problem(
      files,
      "key",
      keyFile,
      `is not the key of the certificate in ${certFile}`,
    );
  const authorities =
    clientCa === undefined ? [] : authoritiesIn(files, clientCa);
  const revocations = crl === undefined ? undefined : revocationsIn(files, crl);
  const context: SecureContextOptions = {
    cert,
    key,
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    // One by one: of several in a text OpenSSL takes the first.
    ...(crl === undefined ? {} : { crl: [...listsIn(crl)] }),
    minVersion: "TLSv1.2",
  };
  try {
    createSecureContext(context);
  } catch (cause) {
    // OpenSSL's own rules, such as too short a key.
    const why = cause instanceof Error ? cause.message : String(cause);
    throw problem(files, "cert", certFile, `cannot be used: ${why}`, cause);
  }
  return { clientCa, authorities, revocations, context };
}

function authoritiesIn(
  files: FlaggedFiles,
  clientCa: string,
): readonly X509Certificate[] {
  const { clientCaFile = "" } = files;
  const authorities = parseCertificates(clientCa);
  if (!authorities.ok)
    throw problem(files, "client-ca", clientCaFile, authorities.reason);
  // One that is no authority would let in its own holder, and nobody who was meant.
  if (authorities.value.some((certificate) => !certificate.ca))
    throw problem(
      files,
      "client-ca",
      clientCaFile,
      "holds a certificate that is no authority's",
    );
  return authorities.value;
}

function revocationsIn(files: FlaggedFiles, crl: string): Revocations {
  try {
    return readRevocations(crl);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw problem(files, "crl", files.crlFile ?? "", why, cause);
  }
}

function problem(
  { flags }: FlaggedFiles,
  flag: string,
  file: string,
  why: string,
  cause?: unknown,
): ConfigError {
  return new ConfigError(
    "failed_precondition",
    `${flags}-${flag} ${file}: ${why}`,
    { cause },
  );
}
