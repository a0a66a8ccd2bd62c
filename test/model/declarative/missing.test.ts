import { expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { id } from "../../support/resources.ts";
import { parse } from "./parsing.ts";

function missingOf(text: string): string[] {
  const parsed = parse(text);
  expect(parsed.problems.map(describeProblem)).toEqual([]);
  return parsed.missing.map((one) =>
    describeProblem(one).replace(/^f\.yml:/, ""),
  );
}

test("references to what the file does not have stand where they are written", () => {
  expect(
    missingOf(`
routes:
- name: a
  paths: [/a]
  service: pay
- name: b
  paths: [/b]
  service: {name: pay}
- {name: c, paths: [/c], service: ${id(1)}}
acls:
- group: g
  consumer: ann
services:
- host: a.example
  protocol: https
  ca_certificates:
  - ${id(2)}
plugins:
- name: x
  consumer: ann
`),
  ).toEqual([
    '5:12: route "a": service: no service "pay": create it first, or earlier in the same transaction',
    '8:12: route "b": service: no service "pay": create it first, or earlier in the same transaction',
    `9:35: route "c": service: no service with id ${id(1)}: create it first, or earlier in the same transaction`,
    '12:13: acl "g": consumer: no consumer "ann": create it first, or earlier in the same transaction',
    `17:5: service #1: ca_certificates[0]: no ca_certificate with id ${id(2)}: create it first, or earlier in the same transaction`,
    '20:13: plugin "x": consumer: no consumer "ann": create it first, or earlier in the same transaction',
  ]);
});

test("what the file has is found by every name and id it has, in whatever order and nesting", () => {
  expect(
    missingOf(`
acls:
- {group: a, consumer: ann}
- {group: b, consumer: custom}
- {group: c, consumer: ${id(1).toUpperCase()}}
- {group: d, consumer: {id: ${id(1)}}}
- {group: e, consumer: 481a9539-f49c-51b6-b2e2-fe99ee68866c}
consumers:
- {id: ${id(1)}, username: ann, custom_id: custom, acls: [{group: f}]}
- {username: 481a9539-f49c-51b6-b2e2-fe99ee68866c}
services:
- {host: a.example, routes: [{paths: [/], plugins: [{name: x}]}]}
- {name: my-service, host: a.example}
routes:
- {paths: [/x], service: 0855b320-0dd2-547d-891d-601e9b38647f}
`),
  ).toEqual([]);
});

test("several files are one configuration", () => {
  const file = (name: string, text: string) => ({
    name,
    content: `_format_version: "3.0"\n${text}\n`,
  });
  const route = file("r.yml", "routes: [{paths: [/], service: pay}]");
  const service = file("s.yml", "services: [{name: pay, host: a.example}]");
  expect(parseDeclarative([route, service]).missing).toEqual([]);
  expect(parseDeclarative([route]).missing).toMatchObject([
    { file: "r.yml", line: 2, column: 32, path: "routes[0].service" },
  ]);
});

test("what has no readable name is the only thing that is wrong", () => {
  const parsed = parse(
    "services: [{name: 12, host: a.example}]\nroutes: [{paths: [/], service: pay}]",
  );
  expect(parsed.problems).toHaveLength(1);
  expect(parsed.missing).toEqual([]);
});
