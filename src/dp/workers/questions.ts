/** What became of a question to a worker. */
export type Answer<T> =
  { readonly type: "answer"; readonly value: T } | { readonly type: "gone" };

/** Of a worker that is gone, or of something that nobody wants any more. */
export const GONE = { type: "gone" } as const;

/** Questions to one worker that wait for an answer. */
export class Questions {
  readonly #waiting = new Map<string, (answer: never) => void>();
  #ended = false;

  /** Resolves with the answer. `key`: what it is known by, here and where the answer comes in. */
  ask<T>(key: string): Promise<Answer<T>> {
    if (this.#ended) return Promise.resolve(GONE);
    return new Promise((resolve) => {
      this.#waiting.set(key, resolve);
    });
  }

  /** An answer has come. One that nobody waits for is not missed. */
  answer(key: string, value: unknown): void {
    this.#settle(key, { type: "answer", value });
  }

  /** Nobody wants to know any more. */
  drop(key: string): void {
    this.#settle(key, GONE);
  }

  /** There will be no more answers. */
  end(): void {
    this.#ended = true;
    for (const key of this.#waiting.keys()) this.drop(key);
  }

  #settle(key: string, answer: Answer<unknown>): void {
    const resolve = this.#waiting.get(key);
    this.#waiting.delete(key);
    resolve?.(answer as never);
  }
}
