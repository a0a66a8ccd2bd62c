const RECORD_HEADER_BYTES = 5;
const CLIENT_HELLO = 1;
/** Of the handshake message: its type and its length. */
const MESSAGE_HEADER_BYTES = 4;
const VERSION_AND_RANDOM_BYTES = 34;
const SERVER_NAME = 0;
const HOST_NAME = 0;

/**
 * The server name that a TLS greeting asks for, in lower case; undefined when it asks for none, or is none. It is read
 * before the handshake because node would show one certificate beside another: whoever can read both gets the wrong one.
 *
 * @param head Begins with the first record of the connection, whole.
 */
export function serverNameIn(head: Buffer): string | undefined {
  try {
    return readServerName(head);
  } catch (error) {
    // It ends before it has said what it announces: the handshake will tell.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readServerName(head: Buffer): string | undefined {
  let at = RECORD_HEADER_BYTES;
  if (head.readUInt8(at) !== CLIENT_HELLO) return undefined;
  at += MESSAGE_HEADER_BYTES + VERSION_AND_RANDOM_BYTES;
  at += 1 + head.readUInt8(at);
  at += 2 + head.readUInt16BE(at);
  at += 1 + head.readUInt8(at);
  const end = at + 2 + head.readUInt16BE(at);
  at += 2;
  while (at < end) {
    const type = head.readUInt16BE(at);
    const length = head.readUInt16BE(at + 2);
    if (type === SERVER_NAME) return nameOf(head, at + 4);
    at += 4 + length;
  }
  return undefined;
}

/** The first entry of the list, which is all that clients send. */
function nameOf(head: Buffer, list: number): string | undefined {
  if (head.readUInt8(list + 2) !== HOST_NAME) return undefined;
  const length = head.readUInt16BE(list + 3);
  const name = head.toString("latin1", list + 5, list + 5 + length);
  return name.toLowerCase().replace(/\.$/, "");
}
