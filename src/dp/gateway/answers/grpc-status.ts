/** What gRPC calls the statuses of HTTP that a gateway answers with. */
const CODES: ReadonlyMap<number, number> = new Map([
  [200, 0],
  [400, 3],
  [401, 16],
  [403, 7],
  [404, 5],
  [408, 4],
  [409, 6],
  [413, 8],
  [417, 9],
  [429, 8],
  [431, 8],
  [499, 1],
  [500, 13],
  [501, 12],
  [502, 14],
  [503, 14],
  [504, 4],
]);

const UNKNOWN = 2;

/** Whether a client speaks gRPC: it reads a status from headers, and no body of ours. */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType?.startsWith("application/grpc") === true;
}

/** The headers that tell a gRPC client what a status and a message would tell another one. */
export function grpcHeaders(
  status: number,
  message: string,
): readonly (readonly [name: string, value: string])[] {
  return [
    ["Content-Type", "application/grpc"],
    ["grpc-status", String(CODES.get(status) ?? UNKNOWN)],
    ["grpc-message", percentEncoded(message)],
  ];
}

/** As gRPC wants its messages: what is not printable ASCII, and "%", in UTF-8 as %XX. */
function percentEncoded(message: string): string {
  let encoded = "";
  for (const byte of Buffer.from(message, "utf8"))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return encoded;
}
