import { createHmac, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { verifyPassword } from "../../../runtime/passwords.ts";

/** How a login checker works. */
export interface LoginCheckerOptions {
  /** Passwords tried at a time; each takes a thread of node's pool, which the replica's store needs too. Default 2. */
  readonly atOnce?: number;
  /** Passwords that wait to be tried; beyond that the answer is "busy". Default 256. */
  readonly maxWaiting?: number;
  /** Answers that are remembered. Default 10,000. */
  readonly maxRemembered?: number;
}

const DEFAULTS: Required<LoginCheckerOptions> = {
  atOnce: 2,
  maxWaiting: 256,
  maxRemembered: 10_000,
};

/** What came of trying a password. */
export type LoginVerdict = "right" | "wrong" | "busy";

/**
 * Costs as much as a real one and fits no password: unknown names are tried against it, so that the time an answer takes
 * does not tell which names there are.
 */
const NOBODYS_PASSWORD = `$scrypt$ln=14,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}`;

interface Remembered {
  /** What was tried against: an answer about another one says nothing. */
  readonly stored: string | undefined;
  readonly right: boolean;
}

/**
 * Tries passwords. One takes some 40 ms of a processor, on purpose; so few are tried at a time, never on the event loop,
 * and the answer is remembered, under a hash that only this process can make, for as long as the credential stays as it is.
 */
export class LoginChecker {
  readonly #options: Required<LoginCheckerOptions>;
  readonly #secret = randomBytes(32);
  readonly #remembered: LRUCache<string, Remembered>;
  /** Being tried now, by the same hash and what they are tried against. */
  readonly #trying = new Map<string, Promise<LoginVerdict>>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  constructor(options: LoginCheckerOptions = {}) {
    this.#options = { ...DEFAULTS, ...options };
    this.#remembered = new LRUCache({ max: this.#options.maxRemembered });
  }

  /**
   * Whether a password is the right one.
   *
   * @param stored As it is stored; undefined when nobody has that name.
   */
  check(
    username: string,
    password: string,
    stored: string | undefined,
  ): LoginVerdict | Promise<LoginVerdict> {
    const hash = createHmac("sha256", this.#secret)
      .update(`${username.length}:${username}${password}`, "utf8")
      .digest("base64");
    const known = this.#remembered.get(hash);
    if (known !== undefined && known.stored === stored)
      return known.right ? "right" : "wrong";
    const job = `${hash} ${stored ?? ""}`;
    let trying = this.#trying.get(job);
    if (trying === undefined) {
      const { atOnce, maxWaiting } = this.#options;
      if (this.#busy >= atOnce && this.#waiting.length >= maxWaiting)
        return "busy";
      trying = this.#try(hash, password, stored).finally(() =>
        this.#trying.delete(job),
      );
      this.#trying.set(job, trying);
    }
    return trying;
  }

  async #try(
    hash: string,
    password: string,
    stored: string | undefined,
  ): Promise<LoginVerdict> {
    await this.#enter();
    try {
      const fits = await verifyPassword(password, stored ?? NOBODYS_PASSWORD);
      const right = fits && stored !== undefined;
      this.#remembered.set(hash, { stored, right });
      return right ? "right" : "wrong";
    } finally {
      this.#leave();
    }
  }

  #enter(): Promise<void> | undefined {
    if (this.#busy < this.#options.atOnce) {
      this.#busy++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy--;
    else next();
  }
}
