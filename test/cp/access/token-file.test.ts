import { expect, test } from "vitest";
import { readTokenFile } from "../../../src/cp/access/token-file.ts";
import { greatestOf, roleIn } from "../../../src/cp/access/roles.ts";
import { digestOf, newToken } from "../../../src/cp/access/token.ts";

const SHA = digestOf(newToken()).toString("hex");

test("is read with its callers, their roles and when they end", () => {
  const read = readTokenFile(`
tokens:
  - name: ci # the pipeline
    sha256: "${SHA}"
    roles: { default: write, "*": read }
    expires: 2030-01-01T00:00:00Z
  - name: ops
    certificate: ops.example
    roles: { "*": admin }
`);
  expect(read).toMatchObject({
    ok: true,
    callers: [
      { name: "ci", expiresAtMs: Date.UTC(2030, 0, 1) },
      { name: "ops", certificate: "ops.example", digest: undefined },
    ],
  });
  const [ci] = read.ok ? read.callers : [];
  expect(roleIn(ci?.roles ?? new Map(), "default")).toBe("write");
  expect(roleIn(ci?.roles ?? new Map(), "another")).toBe("read");
  expect(greatestOf(ci?.roles ?? new Map())).toBe("write");
  expect(ci?.digest?.toString("hex")).toBe(SHA);
});

test("tells all that is wrong with it, and never what stands there", () => {
  const token = newToken();
  const read = readTokenFile(
    JSON.stringify({
      tokens: [
        { name: "a", sha256: token, roles: { default: "write" } },
        { name: "b b", sha256: SHA, roles: {} },
        { name: "c", roles: { Default: "write", other: "root" } },
        { name: "c", sha256: SHA, certificate: "x", roles: { "*": "read" } },
        { name: "d", sha256: SHA, roles: { "*": "read" }, expires: "soon" },
        { name: "e", sha256: SHA, roles: { "*": "read" }, role: "admin" },
        "f",
      ],
    }),
  );
  const problems = read.ok ? [] : read.problems;
  for (const part of [
    "tokens[0].sha256 is a token itself",
    "tokens[1].name",
    "tokens[1].roles must be a map",
    "tokens[2] must have sha256 or certificate",
    "tokens[2].roles has a key",
    "tokens[2].roles.other must be one of read, write, admin",
    "tokens[3] must have sha256 or certificate",
    "tokens[3].name is that of tokens[2]",
    "tokens[4].expires",
    "tokens[4].sha256 is that of tokens[1]",
    "tokens[5] has a field",
    "tokens[6] must be a map",
  ])
    expect(problems.join("\n")).toContain(part);
  expect(problems.join("\n")).not.toContain(token);
  expect(problems.join("\n")).not.toContain(SHA);
});

test.each([
  ["tokens: {", "is not YAML"],
  ["a: &a [x]\ntokens: *a", "aliases"],
  ["[]", "must be a map"],
  ["tokens: 1", "must be a map"],
  ["tokens: []\nother: 1", "more than"],
])("%j is refused", (content, reason) => {
  const read = readTokenFile(content);
  expect(read.ok ? "" : read.problems.join()).toContain(reason);
});
