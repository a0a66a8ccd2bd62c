import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatIpv6, isCidr, parseIpv6 } from "../../src/model/addresses.ts";
import {
  isAddress,
  isHostname,
  parseHostPattern,
} from "../../src/model/hosts.ts";

describe("a host pattern", () => {
  test.each([
    ["a.example", { type: "exact", name: "a.example" }],
    ["A.Example", { type: "exact", name: "a.example" }],
    ["a.example:8080", { type: "exact", name: "a.example", port: 8080 }],
    ["a_b.example", { type: "exact", name: "a_b.example" }],
    ["localhost", { type: "exact", name: "localhost" }],
    ["10.0.0.1", { type: "exact", name: "10.0.0.1" }],
    ["[::1]", { type: "exact", name: "[::1]" }],
    ["[0:0::0001]:80", { type: "exact", name: "[::1]", port: 80 }],
    ["*.a.example", { type: "suffix", name: ".a.example" }],
    ["*.a.example:443", { type: "suffix", name: ".a.example", port: 443 }],
    ["a.*", { type: "prefix", name: "a." }],
    ["a.b.*:80", { type: "prefix", name: "a.b.", port: 80 }],
  ])("%s is read", (text, host) => {
    expect(parseHostPattern(text)).toEqual({ ok: true, host });
  });

  test.each([
    ["", "not a host name"],
    ["*", "wrong place"],
    ["a*.example", "wrong place"],
    ["a.*.example", "wrong place"],
    ["*a.example", "wrong place"],
    ["*.*", "only one wildcard"],
    ["*.a.*", "only one wildcard"],
    ["*.0.0.1", "wildcard"],
    ["10.0.0.*", "wildcard"],
    ["a b", "not a host name"],
    ["a..b", "not a host name"],
    ["-a.example", "not a host name"],
    ["a.example:0", "port from 1 to 65535"],
    ["a.example:65536", "port from 1 to 65535"],
    ["a.example:x", "port from 1 to 65535"],
    ["http://a.example", "port from 1 to 65535"],
    ["256.1.1.1", "not a host name"],
    ["[::1", "port from 1 to 65535"],
    ["[::x]", "not a host name"],
    ["é.example", "not a host name"],
  ])("%j is refused: %s", (text, reason) => {
    const parsed = parseHostPattern(text);
    expect(parsed.ok).toBe(false);
    expect(parsed).toHaveProperty("reason", expect.stringContaining(reason));
    expect(parsed).toHaveProperty(
      "reason",
      expect.stringContaining(JSON.stringify(text)),
    );
  });
});

test("a host name is not an address, nor what is meant as one", () => {
  for (const name of [
    "a",
    "a.b-c.d_e",
    "1a.2b",
    "a.1",
    "a.example.",
    "a".repeat(63),
  ])
    expect([name, isHostname(name)]).toEqual([name, true]);
  for (const name of [
    "",
    ".",
    "a..b",
    "10.0.0.1",
    "1.2.3",
    "::1",
    "a:80",
    "a/b",
    "a ",
    "a".repeat(64),
    Array(130).fill("a").join("."),
  ])
    expect([name, isHostname(name)]).toEqual([name, false]);
});

describe("an address", () => {
  test("is IPv4 in four decimal numbers or IPv6 without brackets", () => {
    for (const good of ["0.0.0.0", "255.255.255.255", "::", "::1", "1::"])
      expect([good, isAddress(good)]).toEqual([good, true]);
    for (const bad of [
      "256.0.0.1",
      "01.0.0.1",
      "1.2.3",
      "1.2.3.4.5",
      "[::1]",
      "1::2::3",
      ":::",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "::1.2.3",
      "1.2.3.4::",
      "::12345",
      "fe80::1%eth0",
      "",
    ])
      expect([bad, isAddress(bad)]).toEqual([bad, false]);
  });

  test("of IPv6 has one written form", () => {
    for (const [text, form] of [
      ["0:0:0:0:0:0:0:0", "::"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8::0:1", "2001:db8::1"],
      ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
      ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ] as const)
      expect(formatIpv6(parseIpv6(text)!)).toBe(form);
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        expect(parseIpv6(formatIpv6(groups))).toEqual(groups);
      }),
    );
  });

  test("may be a block", () => {
    for (const good of ["10.0.0.0/8", "10.0.0.1", "::/0", "fd00::/128"])
      expect([good, isCidr(good)]).toEqual([good, true]);
    for (const bad of [
      "10.0.0.0/33",
      "::/129",
      "a/8",
      "10.0.0.0/",
      "1.2.3.4/8/8",
    ])
      expect([bad, isCidr(bad)]).toEqual([bad, false]);
  });
});
