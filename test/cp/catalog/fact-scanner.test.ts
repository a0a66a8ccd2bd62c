import { create } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { factsOfValue, scan } from "../../../src/cp/catalog/fact-scanner.ts";
import { decodeResource, factsOf } from "../../../src/cp/catalog/resource.ts";
import {
  ResourceSchema,
  type Resource,
} from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { encodeResource } from "../../../src/model/encode.ts";
import { KINDS, kindOfResource } from "../../../src/model/kinds.ts";
import { arbitraryResource } from "../../support/arbitrary-resource.ts";

const resources = arbitraryResource({ storable: true });

const a = "0855b320-0dd2-547d-891d-601e9b38647f";
const b = "1855b320-0dd2-547d-891d-601e9b38647f";

/** One of each kind, with everything set that makes a fact. */
const ordinary: readonly Resource["kind"][] = [
  { case: "caCertificate", value: message({ certDigest: "0a1b" }) },
  { case: "certificate", value: message({ cert: "PEM", key: "PEM" }) },
  { case: "sni", value: message({ name: "A.example", certificate: ref(a) }) },
  {
    case: "service",
    value: message({
      name: "pay",
      port: 80,
      readTimeout: -1,
      clientCertificate: ref(a),
      caCertificates: [a, b],
    }),
  },
  {
    case: "route",
    value: message({
      name: "pay",
      paths: ["/ü"],
      headers: { x: { values: ["1"] } },
      regexPriority: -7,
      service: ref(a),
      createdAt: 1.5,
    }),
  },
  {
    case: "upstream",
    value: message({ name: "u", clientCertificate: ref(a) }),
  },
  { case: "target", value: message({ upstream: ref(a), target: "h:1" }) },
  { case: "consumer", value: message({ username: "u", customId: "c" }) },
  {
    case: "keyauthCredential",
    value: message({ consumer: ref(a), key: "secret" }),
  },
  {
    case: "basicauthCredential",
    value: message({ consumer: ref(a), username: "u", password: "p" }),
  },
  {
    case: "jwtSecret",
    value: message({ consumer: ref(a), key: "k", secret: "s" }),
  },
  { case: "acl", value: message({ consumer: ref(a), group: "g" }) },
  { case: "consumerGroup", value: message({ name: "g" }) },
  {
    case: "consumerGroupConsumer",
    value: message({ consumer: ref(a), consumerGroup: ref(b) }),
  },
  {
    case: "oauth2Credential",
    value: message({
      consumer: ref(a),
      name: "ü",
      clientId: "c",
      clientSecret: "s",
      hashSecret: true,
      redirectUris: ["https://a.example"],
    }),
  },
  {
    case: "hmacauthCredential",
    value: message({ consumer: ref(a), username: "u", secret: "s" }),
  },
  {
    case: "vault",
    value: message({ prefix: "my-env", name: "env", config: { x: "ü" } }),
  },
  {
    case: "plugin",
    value: message({
      name: "cors",
      instanceName: "i",
      config: { x: [1, "ü", null] },
      route: ref(a),
      service: ref(b),
      consumer: ref(a.toUpperCase()),
      consumerGroup: ref(b),
    }),
  },
].map((kind) => create(ResourceSchema, { kind } as never).kind);

test("the facts read from a value are those of the resource it holds, of every kind", () => {
  fc.assert(
    fc.property(resources, (resource) => {
      const value = encodeResource(resource);
      expect(factsOfValue(value)).toEqual(factsOf(decodeResource(value)));
    }),
    { numRuns: 3_000 },
  );
});

test.each(ordinary.map((kind) => [kind.case, kind] as const))(
  "the facts of an ordinary %s are read without decoding it",
  (_case, kind) => {
    const resource = create(ResourceSchema, { kind });
    const value = encodeResource(resource);
    const scanned = scan(value);
    expect(scanned).toBeDefined();
    expect(factsOf(scanned ?? create(ResourceSchema))).toEqual(
      factsOf(decodeResource(value)),
    );
  },
);

test("there is an ordinary one of each kind", () => {
  const kinds = ordinary.map((kind) =>
    kindOfResource(create(ResourceSchema, { kind })),
  );
  expect(new Set(kinds)).toEqual(new Set(KINDS));
});

test("fields that are unknown, come twice or in another order make the facts that protobuf says", () => {
  fc.assert(
    fc.property(
      fc.oneof(resources, fc.constantFrom(...ordinary).map(resourceOf)),
      fc.infiniteStream(fc.nat()),
      fc.array(fc.tuple(fc.nat(3), fc.nat()), { maxLength: 4 }),
      (resource, random, unknown) => {
        const value = encodeResource(resource);
        const reader = new BinaryReader(value);
        const [number] = reader.tag();
        const fields = [
          ...fieldsOf(reader.bytes()),
          ...unknown.map(([type, at]) => unknownField(type, 1000 + (at % 9))),
        ];
        // Half of the time as they came: after the others, as those of a later version are.
        if (random.next().value % 2 === 0)
          for (let i = 0; i < 3; i++) {
            const from = random.next().value % Math.max(1, fields.length);
            const to = random.next().value % (fields.length + 1);
            const field = fields[from];
            if (field !== undefined) fields.splice(to, 0, field);
          }
        const changed = new BinaryWriter()
          .tag(number, WireType.LengthDelimited)
          .bytes(Buffer.concat(fields))
          .finish();
        expect(factsOfValue(changed)).toEqual(factsOf(decodeResource(changed)));
        const twice = Buffer.concat([value, changed]);
        expect(factsOfValue(twice)).toEqual(factsOf(decodeResource(twice)));
      },
    ),
    { numRuns: 3_000 },
  );
});

test("a reference that comes in two parts is put together", () => {
  const part = (tag: number, text: string): Uint8Array =>
    new BinaryWriter().tag(tag, WireType.LengthDelimited).string(text).finish();
  const service = (...parts: Uint8Array[]): Uint8Array =>
    new BinaryWriter()
      .tag(19, WireType.LengthDelimited)
      .bytes(Buffer.concat(parts))
      .finish();
  const route = (...fields: Uint8Array[]): Uint8Array =>
    new BinaryWriter()
      .tag(2, WireType.LengthDelimited)
      .bytes(Buffer.concat(fields))
      .finish();
  for (const value of [
    route(service(part(1, a)), service(part(2, "pay"))),
    route(service(part(2, "pay"), part(1, a))),
    Buffer.concat([route(service(part(1, a))), route(service(part(2, "x")))]),
  ]) {
    expect(factsOf(decodeResource(value)).refers).toEqual([`service/${a}`]);
    expect(factsOfValue(value).refers).toEqual([`service/${a}`]);
  }
});

test("a value that ends too early is not taken for a whole one", () => {
  fc.assert(
    fc.property(resources, fc.nat(), (resource, at) => {
      const value = encodeResource(resource);
      expect(scan(value.subarray(0, at % value.length))).toBeUndefined();
    }),
  );
});

function resourceOf(kind: Resource["kind"]): Resource {
  return create(ResourceSchema, { kind });
}

/** What `create` takes for a message: the type does not matter here. */
function message(fields: object): object {
  return { id: b, tags: ["x"], ...fields };
}

function ref(id: string): object {
  return { id };
}

/** The fields of a message, each with its tag. */
function fieldsOf(bytes: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(bytes);
  const fields: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const [number, type] = reader.tag();
    reader.skip(type, number);
    fields.push(bytes.subarray(from, reader.pos));
  }
  return fields;
}

function unknownField(type: number, number: number): Uint8Array {
  const writer = new BinaryWriter();
  if (type === 0) writer.tag(number, WireType.Varint).uint64(2n ** 64n - 1n);
  else if (type === 1) writer.tag(number, WireType.Bit64).double(1.5);
  else if (type === 2) writer.tag(number, WireType.Bit32).float(1.5);
  else writer.tag(number, WireType.LengthDelimited).string("\u00fc name");
  return writer.finish();
}
