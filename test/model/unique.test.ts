import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { KINDS } from "../../src/model/kinds.ts";
import {
  lookupKey,
  nameOf,
  naturalKey,
  uniqueKeys,
} from "../../src/model/unique.ts";
import { resourceOf } from "../support/arbitrary-resource.ts";

const ID = "0855b320-0dd2-547d-891d-601e9b38647f";
const OTHER = "481a9539-f49c-51b6-b2e2-fe99ee68866c";

const keysOf = (json: JsonObject): string[] =>
  uniqueKeys(resourceOf(json)).map(({ key }) => key);

describe("what is unique", () => {
  test.each<[JsonObject, string[]]>([
    [{ service: { name: "pay" } }, ['name "pay"']],
    [{ service: { host: "a" } }, []],
    [{ route: { name: "pay" } }, ['name "pay"']],
    [{ upstream: { name: "pay" } }, ['name "pay"']],
    [{ sni: { name: "a.example" } }, ['name "a.example"']],
    [
      { consumer: { username: "ann", custom_id: "1" } },
      ['username "ann"', 'custom_id "1"'],
    ],
    [
      { plugin: { name: "cors", service: { id: ID }, instance_name: "x" } },
      [`plugin "cors" of service ${ID}`, 'instance_name "x"'],
    ],
    [{ plugin: { name: "cors" } }, ['plugin "cors" for everything']],
    [
      { target: { target: "a:80", upstream: { id: ID } } },
      [`target "a:80" of upstream ${ID}`],
    ],
    [
      { acl: { group: "g", consumer: { id: ID } } },
      [`group "g" of consumer ${ID}`],
    ],
    [{ keyauth_credential: { key: "s3cr3t" } }, ["this key"]],
    [{ basicauth_credential: { username: "u" } }, ['username "u"']],
    [{ jwt_secret: { key: "k" } }, ['key "k"']],
    [{ ca_certificate: { cert_digest: "00" } }, ['cert_digest "00"']],
    [{ certificate: { cert: "c" } }, []],
  ])("%j claims %j", (json, described) => {
    const keys = uniqueKeys(resourceOf(json));
    expect(keys.map(({ describe: text }) => text)).toEqual(described);
    expect(new Set(keys.map(({ key }) => key)).size).toBe(keys.length);
    expect(naturalKey(resourceOf(json))).toBe(keys[0]?.key);
    for (const { key } of keys) expect(key).not.toContain("s3cr3t");
  });

  test("differs by kind, scope and parent", () => {
    const all = [
      { service: { name: "a" } },
      { route: { name: "a" } },
      { consumer: { username: "a" } },
      { consumer: { custom_id: "a" } },
      { plugin: { name: "a" } },
      { plugin: { name: "a", route: { id: ID } } },
      { plugin: { name: "a", service: { id: ID } } },
      { plugin: { name: "a", consumer: { id: ID } } },
      { plugin: { name: "a", consumer: { id: OTHER } } },
      { target: { target: "a", upstream: { id: ID } } },
      { target: { target: "a", upstream: { id: OTHER } } },
      { acl: { group: "a", consumer: { id: ID } } },
      { acl: { group: "a", consumer: { id: OTHER } } },
    ].flatMap(keysOf);
    expect(new Set(all).size).toBe(all.length);
  });

  test("does not run together, whatever stands in a text", () => {
    expect(keysOf({ acl: { group: "b", consumer: { id: ID } } })).not.toEqual(
      keysOf({ acl: { group: `${ID}\0b`, consumer: { id: "" } } }),
    );
    expect(keysOf({ consumer: { username: "a\0b" } })).not.toEqual(
      keysOf({ consumer: { username: "a" } }),
    );
  });

  test("an SNI is the same in either case", () => {
    expect(keysOf({ sni: { name: "A.example" } })).toEqual(
      keysOf({ sni: { name: "a.example" } }),
    );
  });
});

describe("a name", () => {
  test.each<[JsonObject, string, number]>([
    [{ service: { name: "pay" } }, "pay", 1],
    [{ route: { name: "pay" } }, "pay", 1],
    [{ upstream: { name: "pay" } }, "pay", 1],
    [{ sni: { name: "a.example" } }, "a.example", 1],
    [{ consumer: { username: "ann", custom_id: "1" } }, "ann", 1],
    [{ consumer: { custom_id: "1" } }, "1", 1],
    [{ plugin: { name: "cors" } }, "cors", 1],
    [{ plugin: { name: "cors", instance_name: "x" } }, "x", 1],
    [{ basicauth_credential: { username: "u" } }, "u", 1],
    [{ jwt_secret: { key: "k" } }, "k", 1],
    [{ ca_certificate: { cert_digest: "00" } }, "00", 1],
    [{ target: { target: "a:80", upstream: { id: ID } } }, "a:80", 0],
    [{ acl: { group: "g", consumer: { id: ID } } }, "g", 0],
    [{ certificate: { id: ID } }, ID, 0],
    [{ keyauth_credential: { id: ID, key: "s3cr3t" } }, ID, 0],
  ])("%j is called %s, by which it is found or not", (json, name, hits) => {
    const resource = resourceOf(json);
    expect(nameOf(resource)).toBe(name);
    const kind = KINDS.find((k) => k in json)!;
    const tried = lookupKey(kind, name);
    expect(keysOf(json).filter((key) => tried.includes(key))).toHaveLength(
      hits,
    );
  });

  test("of an API key is the key itself, which finds it and is not shown", () => {
    const json = { keyauth_credential: { key: "s3cr3t" } };
    expect(lookupKey("keyauth_credential", "s3cr3t")).toEqual(keysOf(json));
    expect(nameOf(resourceOf(json))).toBe("");
  });
});
