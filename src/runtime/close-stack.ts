/** Collects what must be closed again, so that a failed start leaks nothing and a stop closes in reverse order. */
export class CloseStack implements AsyncDisposable {
  #closers: (() => unknown)[] = [];
  #closing: Promise<void> | undefined;

  /** Adds a resource and hands it back. */
  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]());
    return resource;
  }

  /** Adds something to do at the end. */
  defer(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** Hands everything over to a new stack; this one has nothing left to close. */
  move(): CloseStack {
    const moved = new CloseStack();
    moved.#closers = this.#closers;
    this.#closers = [];
    return moved;
  }

  /** Closes all, the newest first, and fails with all errors after the last. Concurrent callers wait for the same closing. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeAll(): Promise<void> {
    const errors: unknown[] = [];
    for (
      let close = this.#closers.pop();
      close !== undefined;
      close = this.#closers.pop()
    ) {
      try {
        await close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1)
      throw new AggregateError(errors, "several resources failed to close");
  }
}
