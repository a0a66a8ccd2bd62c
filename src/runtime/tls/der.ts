/** A value in DER: its tag, and where its content lies in the bytes that it is part of. */
export interface DerValue {
  readonly tag: number;
  /** Where it begins, its tag included. */
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

export const DER = {
  integer: 0x02,
  sequence: 0x30,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/**
 * Reads one value after the other, and what is in them only when it is asked for: lists of a hundred thousand lines are
 * looked through in milliseconds.
 */
export class DerReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(
    bytes: Buffer,
    { start, end }: Pick<DerValue, "start" | "end"> = {
      start: 0,
      end: bytes.length,
    },
  ) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** The tag of what comes next; undefined at the end. */
  get next(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /**
   * Reads a value of one of these tags.
   *
   * @throws RangeError when something else comes, or it is cut off.
   */
  read(...tags: readonly number[]): DerValue {
    const { value, at } = this.#peek();
    if (!tags.includes(value.tag))
      throw new RangeError(
        `byte ${at} has tag ${value.tag} in place of ${tags.join(" or ")}`,
      );
    this.#at = value.end;
    return value;
  }

  /** Reads a value of a tag, when that comes next. */
  maybe(...tags: readonly number[]): DerValue | undefined {
    return this.next !== undefined && tags.includes(this.next)
      ? this.read(...tags)
      : undefined;
  }

  /** What a value has in it. */
  into(value: DerValue): DerReader {
    return new DerReader(this.#bytes, value);
  }

  /** A value's content. */
  content({ start, end }: DerValue): Buffer {
    return this.#bytes.subarray(start, end);
  }

  /** A value with its tag and length. */
  whole({ at, end }: DerValue): Buffer {
    return this.#bytes.subarray(at, end);
  }

  #peek(): { readonly value: DerValue; readonly at: number } {
    const at = this.#at;
    const tag = this.#byte(at);
    const first = this.#byte(at + 1);
    let start = at + 2;
    let length = first;
    if (first >= 0x80) {
      const digits = first - 0x80;
      // None is "until it ends", which DER does not have; more than four are more than a file has.
      if (digits === 0 || digits > 4)
        throw new RangeError(`byte ${at + 1} is no length`);
      length = 0;
      for (let i = 0; i < digits; i++)
        length = length * 256 + this.#byte(start++);
    }
    const end = start + length;
    if (end > this.#end)
      throw new RangeError(`it ends at byte ${this.#end}, and not at ${end}`);
    return { value: { tag, at, start, end }, at };
  }

  #byte(at: number): number {
    const byte = at < this.#end ? this.#bytes[at] : undefined;
    if (byte === undefined)
      throw new RangeError(`it ends at byte ${this.#end}`);
    return byte;
  }
}

/**
 * A point in time as certificates and lists have it: milliseconds since the Unix epoch.
 *
 * @throws RangeError when it is none.
 */
export function derTime(tag: number, content: Buffer): number {
  const text = content.toString("latin1");
  const digits =
    tag === DER.utcTime
      ? // Two digits of a year: 1950 to 2049.
        `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`
      : text;
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits);
  const [, year, month, day, hour, minute, second] = parts ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) throw new RangeError(`"${text}" is no time`);
  return ms;
}
