import fc from "fast-check";
import { expect, test } from "vitest";
import { parse as parseYaml, parseDocument } from "yaml";
import {
  emitYaml,
  type YamlValue,
} from "../../../src/model/declarative/emit-yaml.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { serializeDeclarative } from "../../../src/model/declarative/serialize.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { encodeResource } from "../../../src/model/encode.ts";
import { KINDS, kindOfResource } from "../../../src/model/kinds.ts";
import { idOf } from "../../../src/model/messages.ts";
import { resourceToJson } from "../../../src/model/resource-json.ts";
import { fillDefaults } from "../../../src/model/defaults.ts";
import { arbitraryConfiguration } from "../../support/arbitrary-configuration.ts";
import { RSA_CERT, RSA_KEY } from "../../support/certificates.ts";
import { id, resource } from "../../support/resources.ts";
import { parse } from "./parsing.ts";

function values(resources: readonly Resource[]): Map<string, string> {
  return new Map(
    resources
      .map((one): [string, string] => [
        `${kindOfResource(one) ?? ""}/${idOf(one)}`,
        Buffer.from(encodeResource(one)).toString("hex"),
      ])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

test("what is written is read back byte for byte, ids included", () => {
  fc.assert(
    fc.property(arbitraryConfiguration, (resources) => {
      const text = serializeDeclarative(resources);
      const parsed = parse(text);
      expect(parsed.problems.map(describeProblem)).toEqual([]);
      expect(parsed.missing.map(describeProblem)).toEqual([]);
      expect(values(parsed.entities.map((one) => one.resource))).toEqual(
        values(resources),
      );
    }),
    { numRuns: 100 },
  );
}, 60_000);

test("every kind occurs in what is tried", () => {
  const kinds = new Set(
    fc
      .sample(arbitraryConfiguration, { numRuns: 40, seed: 1 })
      .flat()
      .map(kindOfResource),
  );
  expect([...kinds].sort()).toEqual([...KINDS].sort());
});

test("the order of the resources does not matter", () => {
  const shuffled = arbitraryConfiguration.chain((all) =>
    fc
      .shuffledSubarray(all, { minLength: all.length })
      .map((others) => [all, others] as const),
  );
  fc.assert(
    fc.property(shuffled, ([all, others]) => {
      expect(serializeDeclarative(others)).toBe(serializeDeclarative(all));
    }),
    { numRuns: 10 },
  );
});

test("it looks like an export of Kong: flat, with ids and defaults, kinds in the order of their references", () => {
  const text = serializeDeclarative(
    [
      resource("plugin", {
        id: id(9),
        name: "x",
        service: { id: id(1) },
        config: { on: "yes", list: [{ a: 1, b: [] }, [1, 2], {}], none: null },
      }),
      resource("service", {
        id: id(1),
        name: "pay",
        host: "pay.example",
        createdAt: 5,
        updatedAt: 6,
      }),
      resource("basicauthCredential", {
        id: id(3),
        username: "ann",
        password: "$scrypt$ln=14,r=8,p=1$c2FsdA$aGFzaA",
        consumer: { id: id(2) },
      }),
      resource("consumer", { id: id(2), username: "1:30" }),
      resource("route", {
        id: id(4),
        headers: { "x-a": { values: ["no"] } },
        tags: ["team a"],
      }),
    ].map(fillDefaults),
  );
  expect(text).toBe(`_format_version: "3.0"
_transform: false
services:
- id: ${id(1)}
  name: pay
  protocol: http
  host: pay.example
  port: 80
  retries: 5
  connect_timeout: 60000
  write_timeout: 60000
  read_timeout: 60000
  enabled: true
routes:
- id: ${id(4)}
  protocols:
  - http
  - https
  headers:
    x-a:
    - "no"
  https_redirect_status_code: 426
  regex_priority: 0
  strip_path: true
  path_handling: v0
  preserve_host: false
  request_buffering: true
  response_buffering: true
  tags:
  - "team a"
consumers:
- id: ${id(2)}
  username: "1:30"
basicauth_credentials:
- id: ${id(3)}
  consumer: ${id(2)}
  username: ann
  password: "$scrypt$ln=14,r=8,p=1$c2FsdA$aGFzaA"
plugins:
- id: ${id(9)}
  name: x
  config:
    list:
    - a: 1
      b: []
    - - 1
      - 2
    - {}
    none: null
    "on": "yes"
  service: ${id(1)}
  protocols:
  - grpc
  - grpcs
  - http
  - https
  enabled: true
`);
});

test("keys and certificates are blocks of lines as people know them", () => {
  const text = serializeDeclarative([
    resource("certificate", { id: id(1), cert: RSA_CERT, key: RSA_KEY.trim() }),
  ]);
  expect(text).toContain(
    "  cert: |\n    -----BEGIN CERTIFICATE-----\n    MIIDDDCCAfSg",
  );
  expect(text).toContain("  key: |-\n    -----BEGIN PRIVATE KEY-----\n");
});

test("a reference by an id that is also a name says that it is an id", () => {
  const [a, b] = [id(1), id(2)];
  const text = serializeDeclarative([
    resource("service", { id: a, name: "one", host: "a.example" }),
    resource("service", { id: b, name: a, host: "b.example" }),
    resource("route", { id: id(3), paths: ["/"], service: { id: a } }),
  ]);
  expect(text).toContain(`  service:\n    id: ${a}\n`);
});

test("an empty configuration is a file", () => {
  const text = serializeDeclarative([]);
  expect(text).toBe('_format_version: "3.0"\n_transform: false\n');
  expect(parse(text)).toEqual({
    entities: [],
    problems: [],
    warnings: [],
    missing: [],
    selectTags: [],
  });
});

test("other readers, of YAML 1.1 and 1.2, see the same", () => {
  const plain = (value: YamlValue): unknown =>
    value instanceof Map
      ? Object.fromEntries(
          [...value].map(([key, one]: [string, YamlValue]) => [
            key,
            plain(one),
          ]),
        )
      : Array.isArray(value)
        ? value.map(plain)
        : value;
  fc.assert(
    fc.property(arbitraryConfiguration, (resources) => {
      const text = serializeDeclarative(resources);
      const [first, second] = (["1.1", "1.2"] as const).map(
        (version): unknown => parseYaml(text, { version, maxAliasCount: 0 }),
      );
      expect(first).toEqual(second);
      expect(parseDocument(text, { version: "1.1" }).warnings).toEqual([]);
      const mine = parse(text).entities.map((one) => one.resource);
      expect(mine.map(resourceToJson)).toHaveLength(resources.length);
    }),
    { numRuns: 30 },
  );
  const all = new Map<string, YamlValue>(
    ["yes", "1:30", "012", "2024-01-01", "<<", "=", "", "1e+21"].map((word) => [
      word,
      [word, new Map([[word, word]])],
    ]),
  );
  for (const version of ["1.1", "1.2"] as const)
    expect(parseYaml(emitYaml(all), { version })).toEqual(plain(all));
  expect(emitYaml(new Map([["n", [1e21, 1e-7, 0.1, -5e-324]]]))).toBe(
    '"n":\n- 1.0e+21\n- 1.0e-7\n- 0.1\n- -5.0e-324\n',
  );
}, 60_000);
