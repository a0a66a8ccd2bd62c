import {
  create,
  mergeFromBinary,
  toBinary,
  type DescField,
  type DescMessage,
  type MessageShape,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Slices } from "./slices.ts";

/** A part of a message that is handled in one step has about this many bytes, or this many fields. */
const PART_BYTES = 16 << 10;
const PART_FIELDS = 32;

/** Decoding or encoding what one field holds costs about as much as handling this many entries. */
const FIELD_WEIGHT = 16;

/**
 * Decodes a message as `fromBinary` does, pausing between its fields: to decode parts of a message one after the other
 * into the same is to decode the whole.
 *
 * @throws what `fromBinary` throws, for bytes that are no such message.
 */
export function* decodeSlices<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): Slices<MessageShape<Desc>> {
  const message = create(schema);
  const reader = new BinaryReader(bytes);
  let from = 0;
  let fields = 0;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    reader.skip(wireType, number);
    fields++;
    const isPart = fields >= PART_FIELDS || reader.pos - from >= PART_BYTES;
    if (!isPart && reader.pos < reader.len) continue;
    mergeFromBinary(schema, message, bytes.subarray(from, reader.pos));
    from = reader.pos;
    yield FIELD_WEIGHT * fields;
    fields = 0;
  }
  return message;
}

/**
 * Encodes a message, pausing within its long lists of messages. What comes out, one after the other, are the bytes of the
 * message, though its long lists stand last.
 */
export function* encodeSlices<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): Slices<Uint8Array[]> {
  const whole = reflect(schema, message);
  const long = new Set(
    schema.fields.filter((field) => lengthOf(whole, field) > PART_FIELDS),
  );
  if (long.size === 0) return [toBinary(schema, message)];
  const rest = reflect(schema);
  for (const field of schema.fields)
    if (whole.isSet(field) && !long.has(field))
      rest.set(field, whole.get(field));
  const unknown = whole.getUnknown();
  if (unknown !== undefined) rest.setUnknown(unknown);
  const parts = [toBinary(schema, rest.message as MessageShape<Desc>)];
  for (const field of long) {
    if (field.fieldKind !== "list") continue;
    let part = reflect(schema);
    let fields = 0;
    const end = (): void => {
      parts.push(toBinary(schema, part.message as MessageShape<Desc>));
      part = reflect(schema);
      fields = 0;
    };
    for (const item of whole.get(field)) {
      part.get(field).add(item);
      if (++fields < PART_FIELDS) continue;
      end();
      yield FIELD_WEIGHT * PART_FIELDS;
    }
    if (fields > 0) end();
  }
  return parts;
}

/** How many messages a field holds; 0 when it is no list of messages. */
function lengthOf(message: ReflectMessage, field: DescField): number {
  return field.fieldKind === "list" && field.listKind === "message"
    ? message.get(field).size
    : 0;
}
