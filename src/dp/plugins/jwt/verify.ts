import { createPublicKey, webcrypto, type KeyObject } from "node:crypto";
import { compactVerify } from "jose";
import type { TokenOwner } from "../plugin.ts";

type VerifyingKey = webcrypto.CryptoKey | KeyObject;

/** How a token stands to the credential that it names. */
export type SignatureVerdict = "good" | "bad-signature" | "bad-key";

/**
 * Verifies signatures. Which algorithm a token must use, and so which kind of key it is tried with, is the credential's to
 * say and never the token's: a public key is no secret that somebody could sign with.
 */
export class SignatureVerifier {
  readonly #secretIsBase64: boolean;
  /** Reading a key costs more than using it. */
  readonly #keys = new WeakMap<TokenOwner, Promise<VerifyingKey | undefined>>();

  constructor(options: { readonly secretIsBase64: boolean }) {
    this.#secretIsBase64 = options.secretIsBase64;
  }

  async verify(token: string, owner: TokenOwner): Promise<SignatureVerdict> {
    let reading = this.#keys.get(owner);
    if (reading === undefined)
      this.#keys.set(owner, (reading = this.#readKey(owner)));
    const key = await reading;
    if (key === undefined) return "bad-key";
    try {
      await compactVerify(token, key, { algorithms: [owner.algorithm] });
      return "good";
    } catch {
      // Whatever it is that jose dislikes, the token is not one that this key has signed.
      return "bad-signature";
    }
  }

  /** Undefined when it cannot be used. */
  async #readKey(owner: TokenOwner): Promise<VerifyingKey | undefined> {
    try {
      return owner.algorithm.startsWith("HS")
        ? await this.#readSecret(owner)
        : createPublicKey(owner.publicKey);
    } catch {
      return undefined;
    }
  }

  #readSecret({ secret, algorithm }: TokenOwner): Promise<VerifyingKey> {
    const bytes = Buffer.from(secret, this.#secretIsBase64 ? "base64" : "utf8");
    const hash = `SHA-${algorithm.slice(2)}`;
    return webcrypto.subtle.importKey(
      "raw",
      bytes,
      { name: "HMAC", hash },
      false,
      ["verify"],
    );
  }
}
