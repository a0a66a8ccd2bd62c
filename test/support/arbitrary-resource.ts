import {
  create,
  fromJson,
  ScalarType,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { caseOf, KINDS, schemaOf } from "../../src/model/kinds.ts";

/** Texts that break things, and texts that mean something in some field. */
const TEXTS = [
  "",
  "pay",
  "a.example",
  "*.a.example",
  "a.*",
  "10.0.0.1:80",
  "[::1]:8080",
  "/v1",
  "/a//b",
  "~/v(?<n>\\d+)",
  "~/(",
  "http",
  "https",
  "grpc",
  "tcp",
  "GET",
  "header",
  "none",
  "consistent-hashing",
  "latency",
  "cors",
  "key-auth",
  "RS256",
  "https://a.example:8443/x",
  "0855B320-0dd2-547d-891d-601e9b38647f",
  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
  "1",
  "10",
  "2",
  "\u{1f600}",
  "\uffff",
];

/** What no entry can hold. */
const UNSTORABLE_TEXTS = ["\ud800", "a\udc00b"];
const UNSTORABLE_NUMBERS = [NaN, Infinity, -Infinity, 1.5, 2 ** 40];

/** What the messages are filled with. */
export interface Nature {
  /** Only what an entry can hold: text with a UTF-8 form, finite numbers within their type. */
  readonly storable: boolean;
}

/** Resources of every kind, filled at random: hardly one of them breaks no rule. */
export function arbitraryResource(nature: Nature): fc.Arbitrary<Resource> {
  return fc.oneof(
    ...KINDS.map((kind) =>
      arbitraryMessage(schemaOf(kind), nature).map((value) => {
        const resource = create(ResourceSchema);
        resource.kind = { case: caseOf(kind), value } as Resource["kind"];
        return resource;
      }),
    ),
  );
}

/** A text that may be anything, more often than not something that means something. */
function arbitraryText({ storable }: Nature): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...TEXTS) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 8 }) },
    ...(storable
      ? []
      : [{ weight: 1, arbitrary: fc.constantFrom(...UNSTORABLE_TEXTS) }]),
  );
}

/** A message with any of its fields, each with anything that its type can hold. */
export function arbitraryMessage(
  desc: DescMessage,
  nature: Nature,
): fc.Arbitrary<Message> {
  return fc
    .record(
      Object.fromEntries(
        desc.fields.map((field) => [
          field.localName,
          arbitraryField(field, nature),
        ]),
      ),
      { requiredKeys: [] },
    )
    .map((fields) => Object.assign(create(desc), fields));
}

function arbitraryField(
  field: DescField,
  nature: Nature,
): fc.Arbitrary<unknown> {
  const item =
    field.message === undefined
      ? arbitraryScalar(field.scalar, nature)
      : field.message.typeName === "google.protobuf.Struct"
        ? arbitraryStruct(nature)
        : arbitraryMessage(field.message, nature);
  switch (field.fieldKind) {
    case "list":
      return fc.array(item, { maxLength: 3 });
    case "map":
      return fc.dictionary(arbitraryKey(nature), item, {
        maxKeys: 4,
        noNullPrototype: true,
      });
    default:
      return item;
  }
}

function arbitraryScalar(
  type: ScalarType | undefined,
  nature: Nature,
): fc.Arbitrary<unknown> {
  const or = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    nature.storable
      ? good
      : fc.oneof(
          { weight: 4, arbitrary: good },
          { weight: 1, arbitrary: fc.constantFrom(...UNSTORABLE_NUMBERS) },
        );
  switch (type) {
    case ScalarType.STRING:
      return arbitraryText(nature);
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.INT32:
      return or(
        fc.oneof(
          fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
          fc.constantFrom(0, 1, 80, 200, 426),
        ),
      );
    case ScalarType.DOUBLE:
      return or(
        fc
          .double({ noNaN: true, noDefaultInfinity: true })
          .map((number) => storedNumber(number, nature)),
      );
    case ScalarType.UINT64:
      return fc.bigInt({
        min: nature.storable ? 0n : -1n,
        max: nature.storable ? (1n << 64n) - 1n : 1n << 65n,
      });
    default:
      throw new TypeError(`no arbitrary for scalar ${String(type)}`);
  }
}

/** -0 is stored as 0, so what is read back is not what was given. */
function storedNumber(number: number, { storable }: Nature): number {
  return storable ? number + 0 : number;
}

function arbitraryKey(nature: Nature): fc.Arbitrary<string> {
  return arbitraryText(nature).filter((key) => key !== "__proto__");
}

/** A plugin's configuration, often with the names of fields that known plugins have. */
function arbitraryStruct(nature: Nature): fc.Arbitrary<JsonObject> {
  const key = fc.oneof(
    arbitraryKey(nature),
    fc.constantFrom("origins", "key_names", "max_age", "status_code"),
  );
  const { value } = fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constant(null),
      fc.boolean(),
      arbitraryText(nature),
      fc
        .double({
          noNaN: nature.storable,
          noDefaultInfinity: nature.storable,
        })
        .map((number) => storedNumber(number, nature)),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(key, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  return fc.dictionary(key, value, { maxKeys: 4, noNullPrototype: true });
}

/** A resource from its JSON form with no questions asked: for tests whose subject is not how it is read. */
export function resourceOf(json: JsonObject): Resource {
  return fromJson(ResourceSchema, json);
}
