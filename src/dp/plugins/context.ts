/** A place for one plugin's value in the context of exchanges. Two keys never mean the same place. */
export class ContextKey<T> {
  /** For people. */
  readonly name: string;
  /** Only there to tell keys of different values apart. */
  declare readonly value?: T;

  constructor(name: string) {
    this.name = name;
  }
}

/** What plugins keep about one request. */
export class ExchangeContext {
  /** What plugins tell each other, and templates such as `$(shared.x)`, by name. */
  readonly shared = new Map<string, unknown>();
  readonly #values = new Map<ContextKey<unknown>, unknown>();

  get<T>(key: ContextKey<T>): T | undefined {
    // Only `set` puts anything there, with the key's type.
    return this.#values.get(key) as T | undefined;
  }

  set<T>(key: ContextKey<T>, value: T): void {
    this.#values.set(key, value);
  }
}
