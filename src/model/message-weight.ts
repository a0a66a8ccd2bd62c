import {
  ScalarType,
  type DescField,
  type DescMessage,
} from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Slices } from "./slices.ts";

/** What an encoded message will be when it is decoded. */
export interface Weight {
  /** How many messages stand in each list that is the message's own, by the name of its field. */
  readonly lists: ReadonlyMap<string, number>;
  /**
   * What needs memory of its own, at any depth: messages, elements of lists and maps, and fields that nobody knows. Each
   * may take two bytes encoded, and {@link OBJECT_BYTES} decoded.
   */
  readonly objects: number;
}

/** What an object takes in memory, about: what an empty operation of a transaction was measured to. */
export const OBJECT_BYTES = 128;

/** A list of numbers in one field: this many of its bytes take about as much as an object. */
const PACKED_BYTES = 8;

/** Fields looked at between two pauses. */
const STEP_FIELDS = 512;

/** Messages within messages, at most: as many as protobuf's other readers take. */
const MAX_DEPTH = 100;

/** What stands in a field. */
interface Place {
  /** The field's name, when it is a list of messages. */
  readonly list?: string;
  /** Whether what stands there takes memory of its own. */
  readonly isObject: boolean;
  readonly isPacked?: boolean;
  /** The fields within, when it is a message or the entry of a map. */
  readonly within?: () => Places;
}

type Places = ReadonlyMap<number, Place>;

/**
 * Weighs an encoded message without decoding it: that takes no memory, however much the message would.
 *
 * @throws Error for bytes that are no message.
 */
export function* weightSlices(
  schema: DescMessage,
  bytes: Uint8Array,
): Slices<Weight> {
  const reader = new BinaryReader(bytes);
  const lists = new Map<string, number>();
  let objects = 0;
  let places = placesOf(schema);
  let end = bytes.length;
  const outer: { readonly places: Places; readonly end: number }[] = [];
  for (let fields = 1; ; fields++) {
    while (reader.pos >= end) {
      const next = outer.pop();
      if (next === undefined) return { lists, objects };
      ({ places, end } = next);
    }
    if (fields % STEP_FIELDS === 0) yield STEP_FIELDS;
    const [number, type] = reader.tag();
    const place = places.get(number);
    if (place?.isObject !== false) objects++;
    if (place?.list !== undefined && outer.length === 0)
      lists.set(place.list, (lists.get(place.list) ?? 0) + 1);
    if (place === undefined || type !== WireType.LengthDelimited) {
      reader.skip(type, number);
      continue;
    }
    const length = reader.uint32();
    const after = reader.pos + length;
    if (after > end)
      throw new RangeError(
        `field ${number} has ${length} bytes, and ${end - reader.pos} are left`,
      );
    if (place.within === undefined) {
      if (place.isPacked === true) objects += Math.floor(length / PACKED_BYTES);
      reader.pos = after;
      continue;
    }
    if (outer.length === MAX_DEPTH)
      throw new RangeError(`messages are nested deeper than ${MAX_DEPTH}`);
    outer.push({ places, end });
    places = place.within();
    end = after;
  }
}

const known = new WeakMap<DescMessage, Places>();

function placesOf(schema: DescMessage): Places {
  let places = known.get(schema);
  if (places === undefined) {
    places = new Map(
      schema.fields.map((field) => [field.number, placeOf(field)]),
    );
    known.set(schema, places);
  }
  return places;
}

function placeOf(field: DescField): Place {
  const message = field.message;
  const within =
    message === undefined ? {} : { within: () => placesOf(message) };
  switch (field.fieldKind) {
    case "list":
      return field.listKind === "message"
        ? { isObject: true, list: field.name, ...within }
        : { isObject: true, isPacked: isNumber(field.scalar) };
    case "map": {
      // An entry is a message of a key and a value.
      const entry: Places = new Map([
        [1, { isObject: false }],
        [2, { isObject: message !== undefined, ...within }],
      ]);
      return { isObject: true, within: () => entry };
    }
    case "message":
      return { isObject: true, ...within };
    default:
      // Its message has room for it.
      return { isObject: false };
  }
}

/** Whether a list of these may stand in one field. */
function isNumber(scalar: ScalarType | undefined): boolean {
  return scalar !== ScalarType.STRING && scalar !== ScalarType.BYTES;
}
