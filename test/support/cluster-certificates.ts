import {
  generateKeyPairSync,
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

  static async make(name = "test authority"): Promise<TestAuthority> {
    const { publicKey, privateKey } = newKeys();
    const cert = await makeCertificate({
      name,
      publicKey,
      issuer: { key: privateKey },
      purposes: ["authority"],
      hosts: [],
      uris: [],
      nowMs: Date.now() - 100 * DAY_MS,
      endMs: Date.now() + 100 * DAY_MS,
    });
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
    return makeRevocationList(
      this.#issuer,
      certs.map((cert) =>
        revocationEntry(new X509Certificate(cert), Date.now()),
      ),
      { nowMs: Date.now(), nextMs: Date.now() + DAY_MS },
    );
  }
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
  writeFileSync(file, text);
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
