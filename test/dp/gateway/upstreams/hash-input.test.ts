import { expect, test } from "vitest";
import {
  hashInput,
  hashText,
  type HashFacts,
} from "../../../../src/dp/gateway/upstreams/balancing/hash-input.ts";
import { fillDefaults } from "../../../../src/model/defaults.ts";
import { resource } from "../../../support/resources.ts";

type Fields = Parameters<typeof resource<"upstream">>[1];

const FACTS: HashFacts = {
  consumer: "",
  clientIp: "192.0.2.1",
  path: "/a/b",
  rawQuery: "x=2&y=9&x=1",
  captures: {
    groups: ["/a/b", "a", undefined],
    named: new Map([["tenant", "acme"]]),
  },
  header: (name) =>
    ({ "x-tenant": ["t1", "t2"], cookie: ["k=v; sid=abc; sid=d"] })[name] ?? [],
};

function textFor(fields: Fields, facts: Partial<HashFacts> = {}) {
  const { kind } = fillDefaults(
    resource("upstream", {
      name: "u",
      algorithm: "consistent-hashing",
      ...fields,
    }),
  );
  if (kind.case !== "upstream") throw new TypeError("not an upstream");
  return hashText(
    hashInput(kind.value),
    { ...FACTS, ...facts },
    () => "minted",
  );
}

test.each<[string, Fields, Partial<HashFacts>, string]>([
  ["nothing", {}, {}, ""],
  ["the consumer", { hashOn: "consumer" }, { consumer: "c1" }, "c1"],
  ["the client's address", { hashOn: "ip" }, {}, "192.0.2.1"],
  ["the path", { hashOn: "path" }, {}, "/a/b"],
  [
    "all values of a header",
    { hashOn: "header", hashOnHeader: "X-Tenant" },
    {},
    "t1t2",
  ],
  [
    "a query argument, its values in one order",
    { hashOn: "query_arg", hashOnQueryArg: "x" },
    {},
    "12",
  ],
  [
    "a capture by name",
    { hashOn: "uri_capture", hashOnUriCapture: "tenant" },
    {},
    "acme",
  ],
  [
    "a capture by number",
    { hashOn: "uri_capture", hashOnUriCapture: "1" },
    {},
    "a",
  ],
  ["a cookie", { hashOn: "cookie", hashOnCookie: "sid" }, {}, "abc"],
  [
    "the fallback of a consumer that is not known",
    { hashOn: "consumer", hashFallback: "ip" },
    {},
    "192.0.2.1",
  ],
  [
    "the fallback of a header that is not there",
    {
      hashOn: "header",
      hashOnHeader: "x-none",
      hashFallback: "header",
      hashFallbackHeader: "x-tenant",
    },
    {},
    "t1t2",
  ],
  [
    "nothing when the fallback yields nothing either",
    {
      hashOn: "query_arg",
      hashOnQueryArg: "z",
      hashFallback: "uri_capture",
      hashFallbackUriCapture: "2",
    },
    {},
    "",
  ],
])("requests are told apart by %s", (_, fields, facts, text) => {
  expect(textFor(fields, facts)).toEqual({ text });
});

test("a client without the cookie gets one, for the path that is configured", () => {
  const none = { header: () => [] };
  expect(textFor({ hashOn: "cookie", hashOnCookie: "sid" }, none)).toEqual({
    text: "minted",
    setCookie: "sid=minted; Path=/",
  });
  expect(
    textFor(
      {
        hashOn: "ip",
        hashFallback: "cookie",
        hashOnCookie: "sid",
        hashOnCookiePath: "/shop",
      },
      { ...none, clientIp: "" },
    ),
  ).toEqual({ text: "minted", setCookie: "sid=minted; Path=/shop" });
});
