import fc from "fast-check";
import { expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { isUuid } from "../../../src/model/ids.ts";

const SEEDS = [
  `_format_version: "3.0"
_transform: true
services:
- &s
  name: a
  url: http://h.example:8080/x
  tags: [x, y]
  routes:
  - name: r
    paths: ["~/v\\\\d+", /p]
    headers: {x-h: [a, b]}
    plugins:
    - name: key-auth
      config: {key_names: [k], anonymous: ~}
- <<: *s
  name: b
  routes: ~
consumers:
- username: bob
  keyauth_credentials: [{key: k}]
  jwt_secrets:
  - key: j
    secret: "s"
    rsa_public_key: |
      -----BEGIN PUBLIC KEY-----
upstreams:
- name: u.example
  healthchecks: {active: {healthy: {interval: 5}}, threshold: 50}
  targets: [{target: "h:80", weight: 0}]
plugins: [{name: cors, service: a, enabled: yes}]
`,
  '{"_format_version":"1.1","services":[{"name":"a","url":"http://h/","routes":[{"paths":["/a(b)"],"sources":[{"ip":"10.0.0.0/8","port":1}]}]}],"certificates":[{"cert":"c","key":"k","snis":[{"name":"s"}]}],"parameters":null}',
];

/** Pieces that mean something to YAML, to the format or to JavaScript. */
const PIECES = [
  ..."\n\t :-?*&!|>'\"{}[],#%@`~<$\\".split(""),
  "\n  ",
  "\n- ",
  ": ",
  "<<: *s",
  "*s",
  "&s ",
  "---\n",
  "...\n",
  "!!binary ",
  "!!set ",
  "null",
  "1e999",
  ".nan",
  "-0",
  "9007199254740993",
  "\u0000",
  "\ud800",
  "😀",
  "__proto__: {a: b}",
  "constructor: x",
  "toString",
  "consumer_groups: []",
  "id: 5f6c1b0e-8a54-4c1e-9d3c-0d7f2b1a9e77",
  "service: {id: x}",
  "[[[[[[[[",
  "{{ x }}",
];

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.nat(12),
  insert: fc.oneof(fc.constant(""), fc.constantFrom(...PIECES), fc.string()),
});

test("no mutation of a file makes the parser throw, and problems always have a place", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...SEEDS),
      fc.array(mutation, { minLength: 1, maxLength: 6 }),
      (seed, mutations) => {
        const content = mutations.reduce((text, { at, remove, insert }) => {
          const start = Math.floor(at * text.length);
          return text.slice(0, start) + insert + text.slice(start + remove);
        }, seed);
        const parsed = parseDeclarative([{ name: "f.yml", content }]);
        const lines = content.split("\n").length;
        for (const problem of [...parsed.problems, ...parsed.warnings]) {
          expect(problem.line).toBeGreaterThanOrEqual(1);
          expect(problem.line).toBeLessThanOrEqual(lines);
          expect(problem.column).toBeGreaterThanOrEqual(1);
          expect(problem.message).not.toBe("");
          expect(describeProblem(problem)).toMatch(/^f\.yml:\d+:\d+: /);
        }
        for (const { idIfNew } of parsed.entities)
          expect(isUuid(idIfNew)).toBe(true);
        expect(parseDeclarative([{ name: "f.yml", content }])).toEqual(parsed);
      },
    ),
    { numRuns: 500 },
  );
}, 60_000);

test("any JSON value anywhere in a file is read or refused, never thrown at", () => {
  const value = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(
      fc.constantFrom(
        "services",
        "routes",
        "upstreams",
        "targets",
        "plugins",
        "consumers",
        "certificates",
        "ca_certificates",
        "jwt_secrets",
      ),
      fc.array(
        fc.dictionary(
          fc.constantFrom(
            "id",
            "name",
            "host",
            "paths",
            "headers",
            "sources",
            "config",
            "healthchecks",
            "target",
            "upstream",
            "service",
            "username",
            "tags",
            "cert",
            "key",
            "snis",
            "routes",
            "plugins",
            "priority",
            "url",
            "algorithm",
            "__proto__",
          ),
          value,
        ),
        { maxLength: 3 },
      ),
      (kind, entities) => {
        const content = JSON.stringify({
          _format_version: "3.0",
          [kind]: entities,
        });
        expect(() =>
          parseDeclarative([{ name: "f.json", content }]),
        ).not.toThrow();
      },
    ),
    { numRuns: 500 },
  );
}, 60_000);
