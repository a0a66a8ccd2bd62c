import { createHash, randomBytes } from "node:crypto";

/** 256 bits from the system's generator, so that a plain hash of one cannot be turned back, and need not be slow. */
const TOKEN_BYTES = 32;
const FORM = /^hf_[A-Za-z0-9_-]{43}$/;

/** Makes a token. */
export function newToken(): string {
  return `hf_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
}

/** Whether a text has the form of a token. What somebody thought up has not, and is never hashed or compared. */
export function isToken(text: string): boolean {
  return FORM.test(text);
}

/**
 * What is kept of a token: its SHA-256. A slow hash (scrypt, as for passwords) guards what can be guessed; no one guesses
 * one of 2^256, and a slow hash with every call would be a way to keep the control plane busy.
 */
export function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
