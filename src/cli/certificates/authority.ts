import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseCertificates, parsePrivateKey } from "../../model/pem.ts";
import { Failure } from "../io.ts";
import type { Issuer } from "./make-certificate.ts";

/** The names of an authority's files in its directory. */
export const AUTHORITY = {
  certificate: "ca.crt",
  key: "ca.key",
  revocations: "ca.crl",
} as const;

/** Reads the authority that `holdfast cert init` made. */
export async function readAuthority(directory: string): Promise<Issuer> {
  const certificateFile = path.join(directory, AUTHORITY.certificate);
  const keyFile = path.join(directory, AUTHORITY.key);
  const certificates = parseCertificates(await textOf(certificateFile));
  if (!certificates.ok)
    throw new Failure(`${certificateFile} ${certificates.reason}`);
  const [certificate] = certificates.value;
  if (certificate?.ca !== true)
    throw new Failure(`${certificateFile} is not an authority's certificate`);
  const key = parsePrivateKey(await textOf(keyFile));
  if (!key.ok) throw new Failure(`${keyFile} ${key.reason}`);
  if (!certificate.checkPrivateKey(key.value))
    throw new Failure(`${keyFile} is not the key of ${certificateFile}`);
  return { certificate, key: key.value };
}

/** A file's text; undefined when there is none. */
export async function textIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      return undefined;
    throw unreadable(file, error);
  }
}

async function textOf(file: string): Promise<string> {
  const text = await textIfThere(file);
  if (text === undefined)
    throw new Failure(
      `there is no ${file}: "holdfast cert init" makes an authority, and --out says where it is`,
    );
  return text;
}

/** A file cannot be read. */
export function unreadable(file: string, error: unknown): Failure {
  return new Failure(
    `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
  );
}
