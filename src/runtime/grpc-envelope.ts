import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import {
  compressedFlag,
  compressionNegotiate,
} from "@connectrpc/connect/protocol";
import {
  headerAcceptEncoding,
  headerEncoding,
} from "@connectrpc/connect/protocol-grpc";

/** A flag and the length of the message that follows. */
const PREFIX_BYTES = 5;

/** Answers that are shorter are not worth compressing. */
const COMPRESSED_BYTES = 1_024;

/** Reads a body that is one message. Undefined as soon as it is not, with what was read so far. */
export async function oneMessage(
  body: AsyncIterableIterator<Uint8Array>,
  read: Uint8Array[],
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  let bytes = 0;
  let promised: number | undefined;
  for (;;) {
    const next: IteratorResult<Uint8Array, unknown> = await body.next();
    if (next.done === true) break;
    read.push(next.value);
    bytes += next.value.length;
    if (bytes < PREFIX_BYTES) continue;
    promised ??= lengthIn(read);
    // Not when it ends: who sends too much is told at once.
    if (promised === undefined || promised > maxBytes) return undefined;
    if (bytes > PREFIX_BYTES + promised) return undefined;
  }
  if (promised === undefined || bytes < PREFIX_BYTES + promised)
    return undefined;
  const [first] = read;
  return (
    read.length === 1 && first !== undefined ? first : Buffer.concat(read)
  ).subarray(PREFIX_BYTES);
}

/** How long the message is that begins here; undefined when it is compressed. */
function lengthIn(read: readonly Uint8Array[]): number | undefined {
  const prefix = Buffer.concat(read, PREFIX_BYTES);
  return prefix[0] === 0 ? prefix.readUInt32BE(1) : undefined;
}

/** An answer of which these are the bytes, compressed when that is worth it and the caller takes it. The header says so. */
export async function enveloped(
  parts: readonly Uint8Array[],
  { requestHeader, responseHeader }: HandlerContext,
  maxBytes: number,
): Promise<Buffer> {
  const length = parts.reduce((bytes, part) => bytes + part.length, 0);
  if (length > maxBytes)
    throw new ConnectError(
      `message size ${length} is larger than configured writeMaxBytes ${maxBytes}`,
      Code.ResourceExhausted,
    );
  const prefix = Buffer.alloc(PREFIX_BYTES);
  const { response: compression } = compressionNegotiate(
    [compressionGzip],
    null,
    requestHeader.get(headerAcceptEncoding),
    headerAcceptEncoding,
  );
  if (compression === null || length < COMPRESSED_BYTES) {
    prefix.writeUInt32BE(length, 1);
    return Buffer.concat([prefix, ...parts]);
  }
  responseHeader.set(headerEncoding, compression.name);
  const compressed = await compression.compress(Buffer.concat(parts));
  prefix[0] = compressedFlag;
  prefix.writeUInt32BE(compressed.length, 1);
  return Buffer.concat([prefix, compressed]);
}
