/** The header of a TLS record: its type, two bytes of version, two of length. */
const RECORD_HEADER_BYTES = 5;
const RECORD_HANDSHAKE = 0x16;
const VERSION_MAJOR = 3;
/** The most that a record may hold in clear text. */
const RECORD_BYTES = 16_384;
/** What every HTTP/2 connection with prior knowledge starts with. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** The most that is to be read of a connection to know whether its first words are there. */
export const FIRST_WORDS_BYTES = RECORD_HEADER_BYTES + RECORD_BYTES;

/**
 * Whether a TLS client has said all of its greeting, so that it can be answered at once; true as well of what is no
 * greeting, which can be refused at once.
 */
export function hasGreeting(head: Buffer): boolean {
  if (head.length < RECORD_HEADER_BYTES) return false;
  if (head[0] !== RECORD_HANDSHAKE || head[1] !== VERSION_MAJOR) return true;
  const length = head.readUInt16BE(3);
  return length > RECORD_BYTES || head.length >= RECORD_HEADER_BYTES + length;
}

/** Whether an HTTP/2 client has said all of its preface; true as well of what is none. */
export function hasPreface(head: Buffer): boolean {
  if (head.length >= PREFACE.length) return true;
  return head.length > 0 && !PREFACE.subarray(0, head.length).equals(head);
}
