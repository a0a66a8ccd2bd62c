import { scrypt, timingSafeEqual, type ScryptOptions } from "node:crypto";

/** What a new password costs to try: about 40 ms and 16 MiB. */
const COST = { logN: 14, r: 8, p: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** A password as it is stored: `$scrypt$ln=14,r=8,p=1$salt$hash`, both in base64 without padding. */
interface StoredPassword {
  readonly cost: {
    readonly logN: number;
    readonly r: number;
    readonly p: number;
  };
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** Whether a text is a password in its stored form. Any other text is a clear one. */
export function isStoredPassword(text: string): boolean {
  return parseStored(text) !== undefined;
}

/** Whether a text is a hash of a password in a form that others store: PBKDF2, Argon2, bcrypt. */
export function isForeignHash(text: string): boolean {
  return /^\$(?:pbkdf2-[a-z0-9]+|argon2(?:i|d|id)|2[abxy])\$[^\s]+\$?[A-Za-z0-9+/.=-]{16,}$/.test(
    text,
  );
}

/** The stored form of a clear password. */
export async function hashPassword(
  clear: string,
  random: (bytes: number) => Uint8Array,
): Promise<string> {
  const salt = Buffer.from(random(SALT_BYTES));
  const hash = await derive(clear, salt, HASH_BYTES, COST);
  const { logN, r, p } = COST;
  return `$scrypt$ln=${logN},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
}

/** Whether a clear password is the one that was stored. Takes as long as storing it took, on a thread of node's pool. */
export async function verifyPassword(
  clear: string,
  stored: string,
): Promise<boolean> {
  const parsed = parseStored(stored);
  if (parsed === undefined) return false;
  const { cost, salt, hash } = parsed;
  return timingSafeEqual(await derive(clear, salt, hash.length, cost), hash);
}

function parseStored(text: string): StoredPassword | undefined {
  const match =
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(
      text,
    );
  if (match === null) return undefined;
  const [, logN, r, p, salt = "", hash = ""] = match;
  const cost = { logN: Number(logN), r: Number(r), p: Number(p) };
  // A data plane will spend this on every first request of a client: 64 MiB and four rounds, at most.
  if (cost.logN < 1 || cost.r < 1 || cost.p < 1 || cost.p > 4) return undefined;
  if (memoryOf(cost) > 64 * 1024 * 1024) return undefined;
  const parsed = {
    cost,
    salt: Buffer.from(salt, "base64"),
    hash: Buffer.from(hash, "base64"),
  };
  return parsed.salt.length >= 8 && parsed.hash.length >= 16
    ? parsed
    : undefined;
}

function memoryOf(cost: StoredPassword["cost"]): number {
  return 128 * 2 ** cost.logN * cost.r;
}

function derive(
  clear: string,
  salt: Buffer,
  length: number,
  cost: StoredPassword["cost"],
): Promise<Buffer> {
  const options: ScryptOptions = {
    N: 2 ** cost.logN,
    r: cost.r,
    p: cost.p,
    // Node counts a little more than the formula.
    maxmem: 2 * memoryOf(cost) + 1024 * 1024,
  };
  return new Promise((resolve, reject) => {
    scrypt(clear, salt, length, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
