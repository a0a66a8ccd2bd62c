import { ScalarType, type DescField } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../gen/holdfast/config/v1/resource_pb.js";
import { caseOf, KINDS, schemaOf, type Kind } from "../../model/kinds.ts";
import { referenceFieldsOf } from "../../model/references.ts";
import { decodeResource, factsOf, type Facts } from "./resource.ts";

/** The fields that `uniqueKeys` reads beside references. */
const UNIQUE_FIELDS: Readonly<Record<Kind, readonly string[]>> = {
  vault: ["prefix"],
  ca_certificate: ["cert_digest"],
  certificate: [],
  sni: ["name"],
  service: ["name"],
  route: ["name"],
  upstream: ["name"],
  target: ["target"],
  consumer: ["username", "custom_id"],
  consumer_group: ["name"],
  consumer_group_consumer: [],
  keyauth_credential: ["key"],
  basicauth_credential: ["username"],
  jwt_secret: ["key"],
  oauth2_credential: ["client_id"],
  hmacauth_credential: ["username"],
  acl: ["group"],
  plugin: ["name", "instance_name"],
};

type Value = string | string[] | ReferenceValue | undefined;

interface ReferenceValue {
  id: string;
  name: string;
}

/** A field that facts are read from. */
interface Wanted {
  readonly name: string;
  readonly shape: "text" | "list" | "reference";
}

interface Scanned {
  readonly case: NonNullable<Resource["kind"]["case"]>;
  /** By field number. */
  readonly wanted: readonly (Wanted | undefined)[];
  /** The fields of a resource that has none of them set. */
  readonly empty: Readonly<Record<string, Value>>;
}

/** By the number of the kind's field in a Resource. */
const scannedKinds: (Scanned | undefined)[] = [];
for (const kind of KINDS) {
  const field = ResourceSchema.fields.find(({ name }) => name === kind);
  if (field === undefined) throw new TypeError(`no resource is a ${kind}`);
  scannedKinds[field.number] = scannedKind(kind);
}

/**
 * The facts of a stored value. Of all the fields of a resource only those are read that matter, which takes a fraction of
 * decoding it: a start does this for every entry. What is unusual in any way is decoded as a whole.
 */
export function factsOfValue(value: Uint8Array): Facts {
  return factsOf(scan(value) ?? decodeResource(value));
}

/**
 * Reads the fields of a value that facts are made of, as they are in the resource; all others are missing. Undefined
 * when there is anything that our encoder never writes, or that this cannot read: text that is not ASCII.
 */
export function scan(value: Uint8Array): Resource | undefined {
  const reader = new Reader(value);
  const tag = reader.varint();
  if (tag === undefined || (tag & 7) !== LENGTH_DELIMITED) return undefined;
  const kind = scannedKinds[tag >>> 3];
  // A second kind would replace the first, or be merged with it.
  if (kind === undefined || reader.enter() !== value.length) return undefined;
  const fields: Record<string, Value> = { ...kind.empty };
  let last = 0;
  while (reader.at < value.length) {
    const tag = reader.varint();
    if (tag === undefined) return undefined;
    const number = tag >>> 3;
    // In ascending order nothing comes twice that is not a list.
    if (number < last) return undefined;
    const wanted = kind.wanted[number];
    if (wanted === undefined) {
      if (!reader.skip(tag & 7)) return undefined;
    } else {
      if ((tag & 7) !== LENGTH_DELIMITED) return undefined;
      if (number === last && wanted.shape !== "list") return undefined;
      const end = reader.enter();
      if (end === undefined || !read(reader, end, wanted, fields))
        return undefined;
    }
    last = number;
  }
  const found: { readonly case: string; readonly value: unknown } = {
    case: kind.case,
    value: fields,
  };
  return { kind: found } as Resource;
}

function read(
  reader: Reader,
  end: number,
  { name, shape }: Wanted,
  fields: Record<string, Value>,
): boolean {
  if (shape === "reference") {
    const reference = readReference(reader, end);
    fields[name] = reference;
    return reference !== undefined;
  }
  const text = reader.ascii(end);
  if (text === undefined) return false;
  if (shape === "text") fields[name] = text;
  else {
    const list = fields[name];
    // That of `empty` is shared by all.
    if (Array.isArray(list) && list.length > 0) list.push(text);
    else fields[name] = [text];
  }
  return true;
}

function readReference(
  reader: Reader,
  end: number,
): ReferenceValue | undefined {
  const reference = { id: "", name: "" };
  let last = 0;
  while (reader.at < end) {
    const tag = reader.varint();
    if (tag === undefined || tag <= last) return undefined;
    if (tag !== REFERENCE_ID && tag !== REFERENCE_NAME) return undefined;
    const textEnd = reader.enter();
    if (textEnd === undefined || textEnd > end) return undefined;
    const text = reader.ascii(textEnd);
    if (text === undefined) return undefined;
    if (tag === REFERENCE_ID) reference.id = text;
    else reference.name = text;
    last = tag;
  }
  return reader.at === end ? reference : undefined;
}

const VARINT = 0;
const BIT64 = 1;
const LENGTH_DELIMITED = 2;
const BIT32 = 5;
/** Tags of the fields of a Reference. */
const REFERENCE_ID = (1 << 3) | LENGTH_DELIMITED;
const REFERENCE_NAME = (2 << 3) | LENGTH_DELIMITED;

/** Reads protobuf's wire format. What does not fit into the bytes is undefined or false. */
class Reader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** A number of at most 28 bits: tags and lengths have no more. */
  varint(): number | undefined {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) return undefined;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  }

  /** Reads a length, and says where what has it ends. */
  enter(): number | undefined {
    const length = this.varint();
    if (length === undefined) return undefined;
    const end = this.at + length;
    return end <= this.#bytes.length ? end : undefined;
  }

  /** Leaves a field out. */
  skip(wireType: number): boolean {
    switch (wireType) {
      case VARINT:
        for (let length = 1; length <= 10; length++) {
          const byte = this.#bytes[this.at++];
          if (byte === undefined) return false;
          if (byte < 0x80) return true;
        }
        return false;
      case BIT64:
        this.at += 8;
        break;
      case BIT32:
        this.at += 4;
        break;
      case LENGTH_DELIMITED: {
        const end = this.enter();
        if (end === undefined) return false;
        this.at = end;
        break;
      }
      default:
        return false;
    }
    return this.at <= this.#bytes.length;
  }

  /** The text up to an end; undefined when there is more in it than ASCII. */
  ascii(end: number): string | undefined {
    const start = this.at;
    for (let at = start; at < end; at++)
      if ((this.#bytes[at] ?? 0x80) >= 0x80) return undefined;
    this.at = end;
    return this.#bytes.toString("latin1", start, end);
  }
}

function scannedKind(kind: Kind): Scanned {
  const wanted: (Wanted | undefined)[] = [];
  const empty: Record<string, Value> = {};
  const want = (field: DescField, shape: Wanted["shape"]): void => {
    const name = field.localName;
    wanted[field.number] = { name, shape };
    empty[name] = shape === "text" ? "" : shape === "list" ? [] : undefined;
  };
  for (const { field } of referenceFieldsOf(kind))
    want(field, field.fieldKind === "list" ? "list" : "reference");
  for (const name of UNIQUE_FIELDS[kind]) {
    const field = schemaOf(kind).fields.find((found) => found.name === name);
    if (field?.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING)
      throw new TypeError(`${kind}.${name} is not a text`);
    want(field, "text");
  }
  return { case: caseOf(kind), wanted, empty };
}
