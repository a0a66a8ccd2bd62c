import type {
  ConsumerIdentity,
  Consumers,
  KeyOwner,
} from "../../plugins/plugin.ts";

/** The consumers and credentials of one revision. Filled while compiling, then only read. */
export class ConsumerIndex implements Consumers {
  readonly #byId = new Map<string, ConsumerIdentity>();
  readonly #byUsername = new Map<string, ConsumerIdentity>();
  readonly #byKey = new Map<string, KeyOwner>();

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

  byId(id: string): ConsumerIdentity | undefined {
    return this.#byId.get(id);
  }

  byUsername(username: string): ConsumerIdentity | undefined {
    return this.#byUsername.get(username);
  }

  byKey(key: string): KeyOwner | undefined {
    return this.#byKey.get(key);
  }
}
