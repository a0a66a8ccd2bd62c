import {
  generateKeyPairSync,
  randomBytes,
  webcrypto,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import { writeFileSync } from "node:fs";
import {
  makeCertificate,
  makeRevocationList,
  revocationEntry,
  type Issuer,
} from "../../src/cli/certificates/make-certificate.ts";
import { loadX509 } from "../../src/runtime/tls/x509.ts";
import type { TempDir } from "./temp-dir.ts";

/** A certificate and its key, as texts. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

interface LeafOptions {
  readonly hosts?: readonly string[];
  readonly uris?: readonly string[];
  readonly server?: boolean;
  readonly nowMs?: number;
  readonly endMs?: number;
}

const DAY_MS = 86_400_000;

/** An authority of a test's own. */
export class TestAuthority {
  readonly cert: string;
  readonly #issuer: Issuer;

  private constructor(cert: string, key: KeyObject) {
    this.cert = cert;
    this.#issuer = { certificate: new X509Certificate(cert), key };
  }

  /** One that signs itself, and may have others below it. */
  static async make(
    name = "test authority",
    endMs = Date.now() + 100 * DAY_MS,
  ): Promise<TestAuthority> {
    const { publicKey, privateKey } = newKeys();
    const cert = await makeCertificate({
      name,
      publicKey,
      issuer: { key: privateKey },
      purposes: ["authority"],
      hosts: [],
      uris: [],
      nowMs: Date.now() - 100 * DAY_MS,
      endMs,
    });
    return new TestAuthority(cert, privateKey);
  }

  /** One that signs itself, and may have others below it, as the one of `make` may not. */
  static async root(name: string): Promise<TestAuthority> {
    const { publicKey, privateKey: key } = newKeys();
    const cert = await authorityCertificate(name, publicKey, { name, key });
    return new TestAuthority(cert, key);
  }

  /** An authority below this one, which must be a root. */
  async below(name: string): Promise<TestAuthority> {
    const { publicKey, privateKey } = newKeys();
    const by = this.#issuer.certificate.subject.replace(/^CN=/, "");
    const { key } = this.#issuer;
    const cert = await authorityCertificate(name, publicKey, { name: by, key });
    return new TestAuthority(cert, privateKey);
  }

  /** A pair by this authority, of a client unless it says otherwise. */
  issue(name: string, options: LeafOptions = {}): Promise<Pair> {
    return makePair(name, this.#issuer, options);
  }

  /** For a control plane on this machine. */
  controlPlane(name = "cp", options: LeafOptions = {}): Promise<Pair> {
    return this.issue(name, {
      hosts: ["127.0.0.1", "localhost"],
      server: true,
      ...options,
    });
  }

  /** A list of revoked certificates. */
  revoke(...certs: readonly string[]): Promise<string> {
    return this.listUntil(Date.now() + DAY_MS, ...certs);
  }

  /** A list that another one should have taken the place of by then. */
  listUntil(nextMs: number, ...certs: readonly string[]): Promise<string> {
    return makeRevocationList(
      this.#issuer,
      certs.map((cert) =>
        revocationEntry(new X509Certificate(cert), Date.now()),
      ),
      { nowMs: Date.now(), nextMs },
    );
  }
}

async function authorityCertificate(
  name: string,
  publicKey: KeyObject,
  issuer: { readonly name: string; readonly key: KeyObject },
): Promise<string> {
  const x509 = await loadX509();
  const { KeyUsageFlags } = x509;
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const nameOf = (text: string) =>
    new x509.Name([{ CN: [{ utf8String: text }] }]);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: `40${randomBytes(8).toString("hex")}`,
      subject: nameOf(name),
      issuer: nameOf(issuer.name),
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS * 50),
      publicKey: new x509.PublicKey(
        publicKey.export({ type: "spki", format: "der" }),
      ),
      signingAlgorithm: { ...algorithm, hash: "SHA-256" },
      signingKey: await webcrypto.subtle.importKey(
        "pkcs8",
        issuer.key.export({ type: "pkcs8", format: "der" }),
        algorithm,
        false,
        ["sign"],
      ),
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign,
          true,
        ),
      ],
    },
    webcrypto,
  );
  return `${certificate.toString("pem")}\n`;
}

/** A pair that signs itself, for shared mode. */
export function sharedPair(
  name = "cluster",
  options: LeafOptions = {},
): Promise<Pair> {
  return makePair(name, undefined, { server: true, ...options });
}

async function makePair(
  name: string,
  issuer: Issuer | undefined,
  options: LeafOptions,
): Promise<Pair> {
  const { publicKey, privateKey } = newKeys();
  return {
    cert: await makeCertificate({
      name,
      publicKey,
      issuer: issuer ?? { key: privateKey },
      purposes: options.server === true ? ["server", "client"] : ["client"],
      hosts: options.hosts ?? [],
      uris: options.uris ?? [],
      nowMs: options.nowMs ?? Date.now(),
      endMs: options.endMs ?? Date.now() + DAY_MS * 30,
    }),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function newKeys(): {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
} {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** Writes a text to a file of a directory and answers its path. */
export function put(dir: TempDir, name: string, text: string): string {
  const file = dir.join(name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/** Writes a pair, and answers the options that name it. */
export function putPair(
  dir: TempDir,
  name: string,
  { cert, key }: Pair,
): { certFile: string; keyFile: string } {
  return {
    certFile: put(dir, `${name}.crt`, cert),
    keyFile: put(dir, `${name}.key`, key),
  };
}
