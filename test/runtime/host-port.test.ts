import { expect, test } from "vitest";
import {
  formatHostPort,
  isLoopback,
  ListenError,
  parseHostPort,
} from "../../src/runtime/host-port.ts";

test.each([
  ["127.0.0.1:8001", "127.0.0.1", 8001],
  ["localhost:0", "localhost", 0],
  ["cp.example.com:65535", "cp.example.com", 65535],
  ["[::1]:8005", "::1", 8005],
])("%s is read and written back", (text, host, port) => {
  expect(parseHostPort(text)).toEqual({ ok: true, hostPort: { host, port } });
  expect(formatHostPort({ host, port })).toBe(text);
});

test.each([
  "",
  "8001",
  ":8001",
  "localhost",
  "localhost:",
  "localhost:http",
  "::1:8005",
  "[]:1",
  "a b:1",
  "http://localhost:1",
  "localhost:-1",
  "localhost:123456",
])("%j is refused with an example", (text) => {
  const parsed = parseHostPort(text);
  expect(parsed.ok).toBe(false);
  expect(!parsed.ok && parsed.reason).toMatch(/is not HOST:PORT, such as/);
});

test("a port that does not exist is refused with the limit", () => {
  expect(parseHostPort("localhost:65536")).toEqual({
    ok: false,
    reason: 'port 65536 in "localhost:65536" is over 65535',
  });
});

test("a failure to listen names the address and the cause", () => {
  const error = new ListenError(
    { host: "::1", port: 80 },
    new Error("permission denied"),
  );
  expect(error.message).toBe("cannot listen on [::1]:80: permission denied");
});

test.each([
  ["127.0.0.1", true],
  ["127.255.3.4", true],
  ["localhost", true],
  ["::1", true],
  ["127.999.999.999", false],
  ["127.0.0.256", false],
  ["127.0.0.1.example", false],
  ["10.0.0.1", false],
  ["0.0.0.0", false],
])("whether only this machine can connect to %s: %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
