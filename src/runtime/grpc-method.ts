import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
} from "@bufbuild/protobuf";

/** A message to send; one that is encoded already is sent as it is, so that one encoding serves many streams. */
export type Outgoing<T extends DescMessage> = MessageInitShape<T> | Uint8Array;

/** What grpc-js needs to know of a method: its path, and how its messages become bytes and come back. */
export function methodDefinition<M extends DescMethod>(method: M) {
  const input: M["input"] = method.input;
  const output: M["output"] = method.output;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream:
      method.methodKind === "client_streaming" ||
      method.methodKind === "bidi_streaming",
    responseStream:
      method.methodKind === "server_streaming" ||
      method.methodKind === "bidi_streaming",
    requestSerialize: serializer(input),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: serializer(output),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}

function serializer<T extends DescMessage>(
  schema: T,
): (message: Outgoing<T>) => Buffer {
  return (message) => {
    const bytes =
      message instanceof Uint8Array
        ? message
        : toBinary(schema, create(schema, message));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}
