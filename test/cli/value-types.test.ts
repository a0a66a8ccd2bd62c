import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  duration,
  httpUrl,
  connectProxy,
  loopbackHostPort,
  revision,
  patience,
} from "../../src/cli/value-types.ts";

describe("durations", () => {
  test.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["1.5s", 1500],
    ["1m30s", 90_000],
    ["0s", 0],
    ["1h", 3_600_000],
  ])("%s is %d ms", (text, value) => {
    expect(duration("1h").read(text)).toEqual({ ok: true, value });
  });

  test("what is written from minutes and seconds is read back", () => {
    fc.assert(
      fc.property(fc.nat(59), fc.nat(59), (minutes, seconds) => {
        expect(duration("1h").read(`${minutes}m${seconds}s`)).toEqual({
          ok: true,
          value: (minutes * 60 + seconds) * 1000,
        });
      }),
    );
  });

  test.each(["", "s", "-1s", "1 s", "1d", "1s!", "s1", "1e3s"])(
    "%j is none",
    (text) => {
      expect(duration("1h").read(text).ok).toBe(false);
    },
  );
});

describe("addresses of control planes", () => {
  test.each([
    ["127.0.0.1:8001", "http://127.0.0.1:8001"],
    ["http://cp.example/", "http://cp.example"],
    ["https://cp.example/admin/", "https://cp.example/admin"],
    ["[::1]:9", "http://[::1]:9"],
  ])("%s is %s", (text, value) => {
    expect(httpUrl.read(text)).toEqual({ ok: true, value });
  });

  test.each(["", "ftp://x", "http://", "http://x?y", "a b"])(
    "%j is none",
    (text) => {
      expect(httpUrl.read(text).ok).toBe(false);
    },
  );
});

describe("loopback addresses", () => {
  test.each(["127.0.0.1:0", "127.9.9.9:1", "localhost:8005", "[::1]:8005"])(
    "%s is one",
    (text) => {
      expect(loopbackHostPort.read(text).ok).toBe(true);
    },
  );

  test.each([
    "0.0.0.0:8005",
    "10.0.0.1:8005",
    "[::]:8005",
    "127.0.0.1.example.com:8005",
    "localhost.example.com:8005",
  ])("%s can be reached from other machines", (text) => {
    expect(loopbackHostPort.read(text)).toMatchObject({
      ok: false,
      reason: expect.stringContaining("only a loopback address") as string,
    });
  });
});

test("how long to wait may begin with the part of the nodes that is enough", () => {
  const read = (given: string) => patience("1h").read(given);
  expect(read("30s")).toEqual({ ok: true, value: { timeoutMs: 30_000 } });
  expect(read("95%/1m30s")).toEqual({
    ok: true,
    value: { timeoutMs: 90_000, fraction: 0.95 },
  });
  for (const wrong of ["95%", "0%/30s", "101%/30s", "95/30s", "/30s", "95%/"])
    expect(read(wrong).ok).toBe(false);
});

test("revisions keep all their digits", () => {
  expect(revision.read("9007199254740993")).toEqual({
    ok: true,
    value: 9007199254740993n,
  });
  expect(revision.read("-1").ok).toBe(false);
  expect(revision.read("1.5").ok).toBe(false);
});

describe("the proxy of the link", () => {
  test.each([
    ["proxy.example:3128", { host: "proxy.example", port: 3128 }],
    ["http://127.0.0.1:8080/", { host: "127.0.0.1", port: 8080 }],
    ["http://[::1]:8080", { host: "::1", port: 8080 }],
    [
      "http://me:p%40ss:w@proxy.example:3128",
      {
        host: "proxy.example",
        port: 3128,
        authorization: `Basic ${Buffer.from("me:p@ss:w").toString("base64")}`,
      },
    ],
  ])("%s", (given, value) => {
    expect(connectProxy.read(given)).toEqual({ ok: true, value });
  });

  test.each([
    "proxy.example",
    "proxy.example:0",
    "https://proxy.example:3128",
    "http://me@proxy.example:3128",
    "http://me:100%@proxy.example:3128",
    "http://me:s3cret@proxy.example:99999",
    "",
  ])("%s is not one, and is not repeated", (given) => {
    const read = connectProxy.read(given);
    expect(read).toMatchObject({ ok: false });
    expect(JSON.stringify(read)).not.toContain("s3cret");
  });
});
