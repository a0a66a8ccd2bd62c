/** The polynomial of Castagnoli, its bits reversed (RFC 3720, section 12.1). */
const POLYNOMIAL = 0x82f63b78;

/** Bytes that one round takes. More tables do not pay: they would not stay in the processor's first cache. */
const STRIDE = 8;

/** What LevelDB adds to a checksum that is stored, so that a checksum over checksums is no special case. */
const MASK_DELTA = 0xa282ead8;

/** By position of a byte before the end of a round, then by the byte: what it makes of the checksum. */
const TABLES = makeTables();

/** The CRC-32C of bytes. Given that of what comes before them, it is that of both. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rounds = bytes.length - (bytes.length % STRIDE);
  let crc = ~before;
  let at = 0;
  for (; at < rounds; at += STRIDE) {
    const low = crc ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    crc =
      entry(7, low & 0xff) ^
      entry(6, (low >>> 8) & 0xff) ^
      entry(5, (low >>> 16) & 0xff) ^
      entry(4, low >>> 24) ^
      entry(3, high & 0xff) ^
      entry(2, (high >>> 8) & 0xff) ^
      entry(1, (high >>> 16) & 0xff) ^
      entry(0, high >>> 24);
  }
  for (; at < bytes.length; at++)
    crc = entry(0, (crc ^ view.getUint8(at)) & 0xff) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** The checksum that LevelDB stores as `masked`. */
export function unmask(masked: number): number {
  const rotated = (masked - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

function entry(position: number, byte: number): number {
  return TABLES[(position << 8) | byte] ?? 0;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(STRIDE * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++)
      crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const shorter = tables[at - 256] ?? 0;
    tables[at] = (shorter >>> 8) ^ (tables[shorter & 0xff] ?? 0);
  }
  return tables;
}
