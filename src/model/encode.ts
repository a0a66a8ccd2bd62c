import { ScalarType, type DescField } from "@bufbuild/protobuf";
import {
  reflect,
  type ReflectMessage,
  type ScalarValue,
} from "@bufbuild/protobuf/reflect";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  ResourceSchema,
  type Resource,
} from "../gen/holdfast/config/v1/resource_pb.js";

/**
 * The value of an entry: the resource's bytes, the same for equal resources. protobuf-es writes map entries in the order
 * of insertion (and JavaScript moves integer-like keys to the front), hence an encoder of our own: fields by number, map
 * and Struct keys in the order of their UTF-8 bytes, -0 as 0.
 *
 * @throws TypeError for a NaN or an infinity, and for unknown protobuf fields.
 */
export function encodeResource(resource: Resource): Uint8Array {
  const writer = new BinaryWriter();
  writeMessage(writer, reflect(ResourceSchema, resource));
  return writer.finish();
}

const { IMPLICIT } = FeatureSet_FieldPresence;

function writeMessage(writer: BinaryWriter, message: ReflectMessage): void {
  if ((message.getUnknown()?.length ?? 0) > 0)
    throw new TypeError(`unknown fields in ${message.desc.typeName}`);
  for (const field of message.sortedFields)
    if (message.isSet(field)) writeField(writer, message, field);
}

function writeField(
  writer: BinaryWriter,
  message: ReflectMessage,
  field: DescField,
): void {
  switch (field.fieldKind) {
    case "scalar": {
      const value = message.get(field);
      // Protobuf takes -0 for set; as 0 it is what a field without presence is when it is absent.
      if (value === 0 && field.presence === IMPLICIT) return;
      writeScalar(writer, field.number, field.scalar, value);
      return;
    }
    case "enum":
      writeScalar(writer, field.number, ScalarType.INT32, message.get(field));
      return;
    case "message":
      writeSub(writer, field.number, message.get(field));
      return;
    case "list": {
      const list = message.get(field);
      if (field.listKind === "message") {
        for (const item of list)
          writeSub(writer, field.number, item as ReflectMessage);
        return;
      }
      const type = field.listKind === "enum" ? ScalarType.INT32 : field.scalar;
      if (!field.packed) {
        for (const item of list)
          writeScalar(writer, field.number, type, item as ScalarValue);
        return;
      }
      writer.tag(field.number, WireType.LengthDelimited).fork();
      for (const item of list)
        writeScalarValue(writer, type, item as ScalarValue);
      writer.join();
      return;
    }
    case "map": {
      const map = message.get(field);
      const keys = [...map.keys()].sort((a, b) =>
        compareUtf8(String(a), String(b)),
      );
      for (const key of keys) {
        const value = map.get(key);
        writer.tag(field.number, WireType.LengthDelimited).fork();
        writeScalar(writer, 1, field.mapKey, key as ScalarValue);
        if (field.mapKind === "message")
          writeSub(writer, 2, value as ReflectMessage);
        else
          writeScalar(
            writer,
            2,
            field.mapKind === "enum" ? ScalarType.INT32 : field.scalar,
            value as ScalarValue,
          );
        writer.join();
      }
    }
  }
}

function writeSub(
  writer: BinaryWriter,
  number: number,
  message: ReflectMessage,
): void {
  writer.tag(number, WireType.LengthDelimited).fork();
  writeMessage(writer, message);
  writer.join();
}

function writeScalar(
  writer: BinaryWriter,
  number: number,
  type: ScalarType,
  value: ScalarValue,
): void {
  writer.tag(number, wireTypeOf(type));
  writeScalarValue(writer, type, value);
}

/** The scalar types that resources use; another one needs its line here and in wireTypeOf. */
function writeScalarValue(
  writer: BinaryWriter,
  type: ScalarType,
  value: ScalarValue,
): void {
  switch (type) {
    case ScalarType.STRING:
      writer.string(value as string);
      return;
    case ScalarType.BOOL:
      writer.bool(value as boolean);
      return;
    case ScalarType.INT32:
      writer.int32(value as number);
      return;
    case ScalarType.UINT64:
      writer.uint64(value as bigint);
      return;
    case ScalarType.DOUBLE:
      if (!Number.isFinite(value))
        throw new TypeError(`${String(value)} cannot be stored`);
      // Adding 0 turns -0 into 0.
      writer.double((value as number) + 0);
      return;
    default:
      throw new TypeError(`no resource has a ${ScalarType[type]} field`);
  }
}

function wireTypeOf(type: ScalarType): WireType {
  switch (type) {
    case ScalarType.STRING:
      return WireType.LengthDelimited;
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    default:
      return WireType.Varint;
  }
}

/** Orders by UTF-8 bytes: JavaScript's own order is by UTF-16 units, which differs beyond the basic plane. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, "utf8"), Buffer.from(b, "utf8"));
}
