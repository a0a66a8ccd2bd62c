/** Something that others wait for again and again. */
export class Signal {
  #wake: () => void = () => undefined;
  #next = this.#make();

  /** Resolves the next time that something is different. */
  get changed(): Promise<void> {
    return this.#next;
  }

  raise(): void {
    const wake = this.#wake;
    this.#next = this.#make();
    wake();
  }

  #make(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
