import { describe, expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { resourceToJson } from "../../../src/model/resource-json.ts";
import { parse, problemsOf, resourcesOf, warningsOf } from "./parsing.ts";

const FORMAT = '_format_version: "3.0"\n';

describe("select tags", () => {
  test("are added to everything, beside its own", () => {
    expect(
      resourcesOf(`
_info: {select_tags: [team-a, prod]}
services: [{name: s, host: h, tags: [prod, own], routes: [{name: r, paths: [/]}]}]
`),
    ).toMatchObject([
      { service: { tags: ["prod", "own", "team-a"] } },
      { route: { tags: ["team-a", "prod"] } },
    ]);
    expect(parse("_info: {select_tags: [a, a]}").selectTags).toEqual(["a"]);
  });

  test("of one file are for all, and two files or the request may not differ", () => {
    const files = [
      { name: "a.yml", content: `${FORMAT}_info: {select_tags: [x]}\n` },
      { name: "b.yml", content: `${FORMAT}consumers: [{username: ann}]\n` },
    ];
    const parsed = parseDeclarative(files);
    expect(parsed.selectTags).toEqual(["x"]);
    expect(resourceToJson(parsed.entities[0]!.resource)).toMatchObject({
      consumer: { tags: ["x"] },
    });
    expect(parseDeclarative(files, { selectTags: ["x"] }).problems).toEqual([]);
    expect(
      parseDeclarative(files, { selectTags: ["y"] }).problems.map(
        describeProblem,
      ),
    ).toEqual([
      "a.yml:2:22: _info.select_tags: is x, and the request says y: all files applied together have the same",
    ]);
    const c = { name: "c.yml", content: `${FORMAT}_info: {select_tags: [z]}` };
    expect(
      parseDeclarative([...files, c]).problems.map(describeProblem),
    ).toEqual([
      "c.yml:2:22: _info.select_tags: is z, and a.yml:2:22 says x: all files applied together have the same",
    ]);
  });
});

describe("defaults", () => {
  test("are for what an entity does not say or says null to, also inside of maps, and for all files", () => {
    const parsed = parseDeclarative([
      {
        name: "a.yml",
        content: `${FORMAT}services: [{name: s, host: h, retries: 1, port: ~}]\nupstreams: [{name: u, healthchecks: {active: {timeout: 2}}}]`,
      },
      {
        name: "b.yml",
        content: `${FORMAT}_info: {defaults: {service: {retries: 9, port: 8443}, upstream: {healthchecks: {active: {timeout: 7, concurrency: 3}}}}}`,
      },
    ]);
    expect(parsed.problems).toEqual([]);
    expect(
      parsed.entities.map(({ resource }) => resourceToJson(resource)),
    ).toMatchObject([
      { service: { retries: 1, port: 8443 } },
      {
        upstream: { healthchecks: { active: { timeout: 2, concurrency: 3 } } },
      },
    ]);
  });

  test("that cannot be are refused where they stand, whatever file uses them", () => {
    expect(
      problemsOf(
        "_info:\n  defaults:\n    service: {port: x, prot: 1, id: a}\n    services: {}\n    wagon: {}\n  tags: [a]\nservices: [{name: s, host: h}]",
      ),
    ).toEqual([
      expect.stringMatching(
        /^3:21: _info.defaults.service.port: expected a whole number/,
      ),
      '3:24: _info.defaults.service.prot: unknown field; did you mean "port"?',
      "3:33: _info.defaults.service.id: cannot have a default",
      '4:5: _info.defaults.services: unknown kind of entity; did you mean "service"?',
      "5:5: _info.defaults.wagon: unknown kind of entity",
      expect.stringMatching(/^6:3: _info.tags: unknown key/),
    ]);
    // A rule that only a whole entity can break.
    const [problem] = parseDeclarative([
      { name: "a.yml", content: `${FORMAT}services: [{name: s, host: h}]` },
      {
        name: "b.yml",
        content: `${FORMAT}_info: {defaults: {service: {port: 99999}}}`,
      },
    ]).problems;
    expect(problem).toMatchObject({
      file: "b.yml",
      line: 2,
      column: 36,
      entity: 'service "s"',
      field: "port",
    });
  });
});

describe("shared configurations of plugins", () => {
  test("stand under what the plugin says itself", () => {
    expect(
      resourcesOf(`
_plugin_configs:
  limits: {minute: 5, hour: 100, policy: local, redis: {host: r.internal, port: 1}}
plugins:
- {name: custom, _config: limits, config: {minute: 9, hour: null, redis: {port: 2}}}
- {name: other, _config: limits}
`),
    ).toMatchObject([
      {
        plugin: {
          config: {
            minute: 9,
            hour: null,
            policy: "local",
            redis: { host: "r.internal", port: 2 },
          },
        },
      },
      { plugin: { config: { minute: 5, hour: 100 } } },
    ]);
  });

  test("that are not there, or there twice, are refused", () => {
    expect(
      problemsOf(
        "_plugin_configs: {limits: {}, bad: 1}\nplugins: [{name: cors, _config: limts}, {name: jwt, _config: [a]}]",
      ),
    ).toEqual([
      "1:36: _plugin_configs.bad: expected a map, got a number",
      '2:33: plugin "cors": _config: there is no "limts" in _plugin_configs; did you mean "limits"?',
      '2:62: plugin "jwt": _config: expected a name in _plugin_configs, got a list',
    ]);
    const content = `${FORMAT}_plugin_configs: {a: {}}`;
    expect(
      parseDeclarative([
        { name: "a.yml", content },
        { name: "b.yml", content },
      ]).problems.map(describeProblem),
    ).toEqual([
      "b.yml:2:19: _plugin_configs.a: is declared twice: another file has it too",
    ]);
  });
});

test("Konnect's control plane and another workspace are ignored with a note", () => {
  const text = "_konnect: {control_plane_name: x}\n_workspace: pay";
  expect(warningsOf(text)).toEqual([
    "1:1: _konnect: ignored: it names a control plane of Konnect",
    '2:1: _workspace: "pay" is ignored: files go into the workspace that the request names',
  ]);
  const file = { name: "f.yml", content: FORMAT + text };
  const noted = (workspace: string) =>
    parseDeclarative([file], { workspace }).warnings.map(
      ({ message }) => message,
    );
  expect(noted("pay")).toHaveLength(1);
  expect(noted("default")[1]).toContain('which is "default"');
});
