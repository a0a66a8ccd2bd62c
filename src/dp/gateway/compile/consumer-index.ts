import type {
  ConsumerIdentity,
  Consumers,
  KeyOwner,
  PasswordOwner,
  TokenOwner,
} from "../../plugins/plugin.ts";

/** The consumers and credentials of one revision. Filled while compiling, then only read. */
export class ConsumerIndex implements Consumers {
  readonly #byId = new Map<string, ConsumerIdentity>();
  readonly #byUsername = new Map<string, ConsumerIdentity>();
  readonly #byKey = new Map<string, KeyOwner>();
  readonly #byLogin = new Map<string, PasswordOwner>();
  readonly #byTokenKey = new Map<string, TokenOwner>();
  /** Each list in order. */
  readonly #groups = new Map<string, string[]>();

  /** Adds a consumer. */
  addConsumer(consumer: ConsumerIdentity): void {
    this.#byId.set(consumer.id, consumer);
    if (consumer.username !== "")
      this.#byUsername.set(consumer.username, consumer);
  }

  /** Adds an API key; false when another credential has it already. */
  addKey(key: string, owner: KeyOwner): boolean {
    if (this.#byKey.has(key)) return false;
    this.#byKey.set(key, owner);
    return true;
  }

  /** Adds a user name; false when another credential has it already. */
  addLogin(username: string, owner: PasswordOwner): boolean {
    if (this.#byLogin.has(username)) return false;
    this.#byLogin.set(username, owner);
    return true;
  }

  /** Adds what tokens name by this key; false when another credential has it already. */
  addTokenKey(key: string, owner: TokenOwner): boolean {
    if (this.#byTokenKey.has(key)) return false;
    this.#byTokenKey.set(key, owner);
    return true;
  }

  /** Makes a consumer a member of a group. */
  addGroup(consumerId: string, group: string): void {
    const groups = this.#groups.get(consumerId);
    if (groups === undefined) this.#groups.set(consumerId, [group]);
    else {
      const at = groups.findIndex((other) => other > group);
      groups.splice(at < 0 ? groups.length : at, 0, group);
    }
  }

  byId(id: string): ConsumerIdentity | undefined {
    return this.#byId.get(id);
  }

  byUsername(username: string): ConsumerIdentity | undefined {
    return this.#byUsername.get(username);
  }

  byKey(key: string): KeyOwner | undefined {
    return this.#byKey.get(key);
  }

  byLogin(username: string): PasswordOwner | undefined {
    return this.#byLogin.get(username);
  }

  byTokenKey(key: string): TokenOwner | undefined {
    return this.#byTokenKey.get(key);
  }

  groupsOf(consumerId: string): readonly string[] {
    return this.#groups.get(consumerId) ?? [];
  }
}
