/** What was read is not of the form that it should have. */
export class FormError extends Error {
  override readonly name = "FormError";
}

/** Reads LevelDB's fields one after the other: numbers of variable length, and bytes. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /**
   * A number of variable length.
   *
   * @throws FormError when there is none, or it is above what a number holds exactly: no file is so large.
   */
  number(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 63; factor *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte >= 0x80) continue;
      if (Number.isSafeInteger(value)) return value;
      break;
    }
    throw new FormError(
      `the number that ends at byte ${this.#at} is too large`,
    );
  }

  /** @throws FormError at the end. */
  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined)
      throw new FormError(`ends too early, after ${this.#at} bytes`);
    this.#at++;
    return byte;
  }

  /** @throws FormError when there are not so many. */
  bytes(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length)
      throw new FormError(
        `has ${length} bytes announced at byte ${this.#at}, and ${this.#bytes.length - this.#at} there`,
      );
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

/** Four bytes, the lowest first. */
export function fixed32(bytes: Uint8Array, at: number): number {
  return new DataView(
    bytes.buffer,
    bytes.byteOffset,
    bytes.byteLength,
  ).getUint32(at, true);
}
