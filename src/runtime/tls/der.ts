/** One value of DER: its tag, its content, and all its bytes. */
export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  readonly bytes: Buffer;
}

/** The tags that certificates and revocation lists are made of. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The values that bytes consist of, one after the other. Throws a RangeError when they do not. */
export function readDer(bytes: Buffer): DerValue[] {
  const values: DerValue[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = byteAt(bytes, at);
    let length = byteAt(bytes, at + 1);
    let start = at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4)
        throw new RangeError("a length that is no DER");
      length = 0;
      for (let i = 0; i < count; i++)
        length = length * 256 + byteAt(bytes, start + i);
      start += count;
    }
    const end = start + length;
    if (end > bytes.length) throw new RangeError("it ends too early");
    values.push({
      tag,
      content: bytes.subarray(start, end),
      bytes: bytes.subarray(at, end),
    });
    at = end;
  }
  return values;
}

function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError("it ends too early");
  return byte;
}

/** One value: a tag, and its parts one after the other. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256))
    bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

/** An integer that is not negative, of its bytes, the highest first. */
export function derInteger(value: Buffer): Buffer {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const digits = value.subarray(start);
  // A set first bit would say that it is negative.
  return der(
    TAG.integer,
    ...(((digits[0] ?? 0) & 0x80) === 0 ? [] : [Buffer.from([0])]),
    digits,
  );
}

/** An object identifier: "2.5.29.17". */
export function derOid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes: number[] = [];
  for (const number of [first * 40 + second, ...rest]) {
    const digits = [number % 128];
    for (
      let left = Math.floor(number / 128);
      left > 0;
      left = Math.floor(left / 128)
    )
      digits.unshift(0x80 | (left % 128));
    bytes.push(...digits);
  }
  return der(TAG.oid, Buffer.from(bytes));
}

/** A time, in the form that its year asks for. */
export function derTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  const year = Number(digits.slice(0, 4));
  return year >= 1950 && year < 2050
    ? der(TAG.utcTime, Buffer.from(digits.slice(2), "latin1"))
    : der(TAG.generalizedTime, Buffer.from(digits, "latin1"));
}

/** A time's milliseconds; NaN when it is none. */
export function timeOf({ tag, content }: DerValue): number {
  const text = content.toString("latin1");
  const found =
    /^(?<year>\d{2}|\d{4})(?<month>\d\d)(?<day>\d\d)(?<h>\d\d)(?<m>\d\d)(?<s>\d\d)Z$/.exec(
      text,
    )?.groups;
  if (found === undefined) return Number.NaN;
  const { year = "", month, day, h, m, s } = found;
  const century = tag === TAG.utcTime ? (Number(year) < 50 ? "20" : "19") : "";
  return Date.parse(`${century}${year}-${month}-${day}T${h}:${m}:${s}Z`);
}
