import { describe, expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { parse, problemsOf, resourcesOf, warningsOf } from "./parsing.ts";

const uuid = "5f6c1b0e-8a54-4c1e-9d3c-0d7f2b1a9e77";

describe("the top of a file", () => {
  test("must be a map with a known format", () => {
    const known = '"1.1", "2.1", "3.0"';
    expect(problemsOf("_format_version: ~")).toEqual([
      `1:1: _format_version: is missing: one of ${known}`,
    ]);
    expect(problemsOf('_format_version: "4.0"')).toEqual([
      `1:18: _format_version: expected one of ${known}, got "4.0"`,
    ]);
    expect(problemsOf("_format_version: 3.0")).toEqual([
      '1:18: _format_version: expected a string, got the number 3.0; put it in quotes: "3.0"',
    ]);
    expect(problemsOf("- _format_version")).toEqual([
      expect.stringContaining("1:1: the file is a list: expected a map"),
    ]);
    expect(problemsOf("# _format_version")).toEqual([
      expect.stringContaining("1:1: the file is empty: expected a map"),
    ]);
  });

  test("without a format the rest is still checked", () => {
    const { problems } = parseDeclarative([
      { name: "a.yml", content: "services: [{nmae: x}]" },
    ]);
    expect(problems.map(describeProblem)).toEqual([
      'a.yml:1:1: _format_version: is missing: one of "1.1", "2.1", "3.0"',
      "a.yml:1:12: service #1: host: is required",
      'a.yml:1:13: service #1: nmae: unknown field; did you mean "name"?',
    ]);
  });

  test("an unknown key is refused, with the one that was meant", () => {
    expect(problemsOf("sevices: []\nx-common: 1\nservice: [1]")).toEqual([
      '1:1: sevices: unknown key at the top of the file; did you mean "services"?',
      "2:1: x-common: unknown key at the top of the file",
      '3:1: service: unknown key at the top of the file; did you mean "services"?',
    ]);
  });

  test("what is known elsewhere is refused as such, unless it is empty", () => {
    expect(
      problemsOf(
        "keys: [{name: g}]\n_konnect: {control_plane_name: x}\npartials: []\n_plugin_configs: {}\nkey_sets: ~",
      ),
    ).toEqual(["1:1: keys: this kind of entity is not supported yet"]);
  });

  test("the cluster's id in an export of Kong is ignored with a warning, other parameters are not", () => {
    const one = `parameters:\n- {key: cluster_id, value: ${uuid}, created_at: 1}`;
    expect(problemsOf(one)).toEqual([]);
    expect(warningsOf(one)).toEqual([
      "1:1: parameters: ignored: it only names the Kong cluster that the file was exported from",
    ]);
    expect(problemsOf(`${one}\n- {key: other, value: x}`)).toHaveLength(1);
  });

  test("remarks and null lists say nothing", () => {
    expect(
      resourcesOf(`
_comment: hello
_ignore: [1, {a: b}]
_transform: true
services: ~
routes: {}
upstreams:
- _comment: x
  _ignore: [y]
  name: u.example
  targets: ~`),
    ).toEqual([{ upstream: { name: "u.example" } }]);
  });

  test("a list of entities must be one, of maps", () => {
    expect(problemsOf("services: x\nroutes: [~, 7]\n_transform: 1")).toEqual([
      '1:11: services: expected a list of services, got "x"',
      "2:10: route #1: expected a map, got null",
      "2:13: route #2: expected a map, got a number",
      "3:13: _transform: expected true or false, got 1",
    ]);
  });
});

describe("fields", () => {
  test("of all types are read in Kong's spelling", () => {
    expect(
      resourcesOf(`
services:
- name: s
  url: https://h.example/base
  retries: 0
  enabled: no
  tls_verify: ~
  tags: []
  created_at: 1733117004
  updated_at: x
routes:
- name: r
  sources: [{ip: 10.0.0.0/8}, {port: 9000}]
  protocols: [tcp]
  strip_path: False
- {name: e, expression: 'http.path == "/"', priority: 35184414035967}`),
    ).toEqual([
      {
        service: {
          name: "s",
          url: "https://h.example/base",
          retries: 0,
          enabled: false,
        },
      },
      {
        route: {
          name: "r",
          sources: [{ ip: "10.0.0.0/8" }, { port: 9000 }],
          protocols: ["tcp"],
          strip_path: false,
        },
      },
      {
        route: {
          name: "e",
          expression: 'http.path == "/"',
          priority: "35184414035967",
        },
      },
    ]);
  });

  test("headers, nested messages and plugin settings keep their form", () => {
    expect(
      resourcesOf(`
routes:
- name: r
  headers: {x-a.b: [one, two], x-none: ~}
upstreams:
- name: u.example
  healthchecks:
    threshold: 12.5
    active: {timeout: 2, healthy: {interval: 5.0, http_statuses: [200]}, headers: {h: [v]}}
plugins:
- name: custom
  config: {a: [1, ~, {b: yes}], c: ~}`),
    ).toEqual([
      {
        route: {
          name: "r",
          headers: { "x-a.b": { values: ["one", "two"] } },
        },
      },
      {
        upstream: {
          name: "u.example",
          healthchecks: {
            threshold: 12.5,
            active: {
              timeout: 2,
              healthy: { interval: 5, http_statuses: [200] },
              headers: { h: { values: ["v"] } },
            },
          },
        },
      },
      {
        plugin: {
          name: "custom",
          config: { a: [1, null, { b: true }], c: null },
        },
      },
    ]);
  });

  const wrong: [string, string][] = [
    ["name: 8080", "name: expected a string, got 8080; put it in quotes"],
    [
      "name: 1:30",
      "name: expected a string, got 90 (written 1:30); put it in quotes",
    ],
    ["name: [a]", "name: expected a string, got a list"],
    ['name: ""', "name: must not be empty; leave it out, or write null"],
    [
      'port: "80"',
      'port: expected a whole number, got "80"; take the quotes away',
    ],
    ["port: 80.5", "port: expected a whole number, got 80.5"],
    [
      "port: ${PORT}",
      'port: expected a whole number, got "${PORT}"; placeholders are plain text here, put in the value before applying',
    ],
    [
      'port: "{vault://env/port}"',
      'port: expected a whole number, got "{vault://env/port}"; data planes of Holdfast do not follow references to vaults: put in the value itself, in a file as ${{ env "DECK_NAME" }}',
    ],
    [
      "retries: 3000000000",
      "retries: expected a whole number from -2147483648 to 2147483647, got 3000000000",
    ],
    ["enabled: 1", "enabled: expected true or false, got 1"],
    ["tags: a", 'tags: expected a list, got "a"; write it as ["a"]'],
    ["tags: {a: b}", "tags: expected a list, got a map"],
    ["tags: [a, ~]", "tags[1]: expected a string, got null"],
    ["id: 5", "id: expected a UUID, got 5"],
    [
      "client_certificate: {nmae: x}",
      "client_certificate: expected a certificate's name or id, {name: …} or {id: …}, got a map",
    ],
    ["nmae: x", 'nmae: unknown field; did you mean "name"?'],
    ["snis: [x]", "snis: unknown field; it is a field of a route"],
    [
      "filter_chains: [1]",
      "filter_chains: this kind of entity is not supported yet",
    ],
    ["tls_sans: x", "tls_sans: this field is not supported yet"],
    ["port: 70000", "port: must be less than or equal to 65535"],
  ];
  for (const [field, problem] of wrong)
    test(`${field} is refused`, () => {
      const [found = "", ...more] = problemsOf(
        `services:\n- host: h.example\n  ${field}`,
      );
      expect(more).toEqual([]);
      expect(found).toContain(": service ");
      expect(found).toContain(problem.slice(0, problem.indexOf(":") + 1));
      if (!problem.startsWith("port: must"))
        expect(found.endsWith(problem)).toBe(true);
      expect(found).toMatch(/^3:\d+: /);
    });

  test("unknown fields are refused at every depth, and null ones ignored", () => {
    expect(
      problemsOf(
        "upstreams:\n- name: u.example\n  healthchecks:\n    active:\n      helthy: {}\n      other: ~",
      ),
    ).toEqual([
      '5:7: upstream "u.example": healthchecks.active.helthy: unknown field; did you mean "healthy"?',
    ]);
  });

  test("a plugin's own setting outside of its config is explained", () => {
    expect(
      problemsOf("plugins: [{name: key-auth, hide_credentials: true}]"),
    ).toEqual([
      `1:28: plugin "key-auth": hide_credentials: unknown field; a plugin's own settings stand under "config"`,
    ]);
  });

  test("the rules of the kinds are checked where the fields stand", () => {
    expect(
      problemsOf(
        "routes:\n- name: r\n  paths:\n  - /a\n  - b\nplugins:\n- name: key-auth\n  config:\n    key_namez: [a]",
      ).map((problem) => problem.replace(/(must|unknown).*$/, "…")),
    ).toEqual([
      '5:5: route "r": paths[1]: …',
      '9:16: plugin "key-auth": config.key_namez: …',
    ]);
  });

  test("the places of values that only the message nests deeper are found too", () => {
    expect(
      parse(
        'routes:\n- name: r\n  headers:\n    x-a.b:\n    - "~*("\nupstreams:\n- name: u.example\n  healthchecks:\n    active:\n      healthy:\n        http_statuses: [200, 5]',
      ).problems.map(({ line, column, field }) => `${line}:${column} ${field}`),
    ).toEqual([
      '5:7 headers["x-a.b"].values[0]',
      "11:30 healthchecks.active.healthy.http_statuses[1]",
    ]);
  });

  test("a secret is not shown", () => {
    const [problem = ""] = problemsOf(
      "consumers: [{username: bob, keyauth_credentials: [{key: 123456}]}]",
    );
    expect(problem).toContain("key: expected a string, got a number");
    expect(problem).not.toContain("123456");
  });
});

describe("references", () => {
  const service = `services: [{name: s, host: h, id: ${uuid.toUpperCase()}}]`;
  const cases: [string, unknown][] = [
    ["s", { name: "s" }],
    [uuid.toUpperCase(), { id: uuid }],
    [`{id: ${uuid}}`, { id: uuid }],
    ["{name: s}", { name: "s" }],
    ["elsewhere", { name: "elsewhere" }],
    ["~", undefined],
  ];
  for (const [written, expected] of cases)
    test(`service: ${written}`, () => {
      const [, route] = resourcesOf(
        `${service}\nroutes: [{name: r, paths: [/], service: ${written}}]`,
      );
      expect((route as { route: { service?: unknown } }).route.service).toEqual(
        expected,
      );
    });

  test("a UUID that is an entity's name is a name", () => {
    const [, route] = resourcesOf(
      `services: [{name: ${uuid}, host: h}]\nroutes: [{name: r, paths: [/], service: ${uuid}}]`,
    );
    expect(route).toMatchObject({ route: { service: { name: uuid } } });
  });
});

describe("nesting", () => {
  test("gives children a reference to their parent", () => {
    expect(
      resourcesOf(`
services:
- name: s
  host: h
  plugins: [{name: a, consumer: c}]
  routes:
  - name: r
    paths: [/]
    plugins: [{name: a}]
  - paths: [/unnamed]
    id: ${uuid}
    plugins: [{name: a}]
consumers:
- username: c
  acls: [{group: g}]
- custom_id: d
  acls: [{group: g}]
upstreams:
- name: u.example
  targets: [{target: "h:1"}]`),
    ).toMatchObject([
      { service: { name: "s" } },
      { route: { name: "r", service: { name: "s" } } },
      { route: { id: uuid, service: { name: "s" } } },
      { upstream: { name: "u.example" } },
      { target: { upstream: { name: "u.example" } } },
      { consumer: { username: "c" } },
      { consumer: { custom_id: "d" } },
      { acl: { consumer: { name: "c" } } },
      { acl: { consumer: { name: "d" } } },
      { plugin: { service: { name: "s" }, consumer: { name: "c" } } },
      { plugin: { route: { name: "r" } } },
      { plugin: { route: { id: uuid } } },
    ]);
  });

  test("a child of a nameless parent refers to the id that the parent will get", () => {
    const { entities } = parse(
      "services: [{host: h, routes: [{paths: [/a], plugins: [{name: p}]}]}]",
    );
    const [service, route, plugin] = entities;
    expect(route?.resource.kind.value).toMatchObject({
      service: { id: service?.idIfNew, name: "" },
    });
    expect(plugin?.resource.kind.value).toMatchObject({
      route: { id: route?.idIfNew, name: "" },
    });
  });

  test("a custom_id that is somebody else's username does not lead to that one", () => {
    const { entities } = parse(
      "consumers: [{username: x}, {custom_id: x, acls: [{group: g}]}]",
    );
    const [, second, acl] = entities;
    expect(acl?.resource.kind.value).toMatchObject({
      consumer: { id: second?.idIfNew, name: "" },
    });
  });

  test("the SNIs of a certificate may be maps or bare names", () => {
    const { entities } = parse(
      `certificates: [{id: ${uuid}, cert: c, key: k, snis: [{name: a.example}, b.example]}]`,
    );
    expect(entities.map(({ label, path }) => `${path} ${label}`)).toEqual([
      `certificates[0] certificate "${uuid}"`,
      `certificates[0].snis[0] sni "a.example"`,
      `certificates[0].snis[1] sni "b.example"`,
    ]);
    expect(entities[2]?.resource.kind.value).toMatchObject({
      name: "b.example",
      certificate: { id: uuid },
    });
  });

  test("a child may name its parent again, by name or id, but no other one", () => {
    const file = (route: string) =>
      `services:\n- {name: s, host: h, id: ${uuid}, routes: [{name: r, paths: [/], service: ${route}}]}\n- {name: t, host: h}`;
    for (const same of ["s", uuid, `{id: ${uuid}}`, "{name: s}"])
      expect(problemsOf(file(same))).toEqual([]);
    for (const other of ["t", "nobody"])
      expect(problemsOf(file(other))).toEqual([
        expect.stringContaining(
          `route "r": service: names service "${other}", but stands inside service "s"`,
        ),
      ]);
  });
});

describe("identity", () => {
  const twice: [string, string, string][] = [
    [
      "a name",
      "services: [{name: a, host: h}, {name: a, host: i}]",
      "its name",
    ],
    [
      "an id",
      `services: [{name: a, host: h, id: ${uuid}}, {name: b, host: h, id: ${uuid.toUpperCase()}}]`,
      `its id ${uuid}`,
    ],
    [
      "a custom_id",
      "consumers: [{username: a, custom_id: x}, {username: b, custom_id: x}]",
      "its custom_id",
    ],
    [
      "a plugin's scope",
      "plugins: [{name: a}, {name: a}]",
      "its combination of name, route, service, consumer, consumer_group",
    ],
    [
      "a target of one upstream",
      "upstreams: [{name: u.example, targets: [{target: h}, {target: 'H:8000'}]}]",
      "its combination of upstream, target",
    ],
    [
      "a key",
      "consumers: [{username: a, keyauth_credentials: [{key: k}]}, {username: b, keyauth_credentials: [{key: k}]}]",
      "its key",
    ],
  ];
  for (const [what, text, message] of twice)
    test(`${what} that is declared twice is refused, with both places`, () => {
      const [problem = "", ...more] = problemsOf(text);
      expect(more).toEqual([]);
      expect(problem).toContain(`is declared twice: ${message} is taken by`);
      expect(problem).toMatch(/that at f\.yml:1:\d+ \(.*\[0\].*\)$/);
    });

  test("the same in another scope is another one", () => {
    expect(
      problemsOf(`
services:
- {name: s, host: h, plugins: [{name: a}], routes: [{name: r, paths: [/], plugins: [{name: a}]}]}
plugins: [{name: a}, {name: a, service: s, consumer: c}]
upstreams:
- {name: u.example, targets: [{target: h}]}
- {name: v.example, targets: [{target: h}]}`),
    ).toEqual([]);
  });

  test("a flat entity that repeats a nested one is found", () => {
    expect(
      problemsOf(
        "services: [{name: s, host: h, plugins: [{name: a}]}]\nplugins: [{name: a, service: s}]",
      ),
    ).toEqual([
      '2:11: plugin "a": is declared twice: its combination of name, route, service, consumer, consumer_group is taken by that at f.yml:1:41 (services[0].plugins[0])',
    ]);
  });

  test("is one over all files", () => {
    const content = '_format_version: "3.0"\nservices: [{name: a, host: h}]';
    const { problems } = parseDeclarative([
      { name: "a.yml", content },
      { name: "b.yml", content },
    ]);
    expect(problems.map(describeProblem)).toEqual([
      'b.yml:2:12: service "a": is declared twice: its name is taken by that at a.yml:2:12 (services[0])',
    ]);
  });

  test("what stands in a refused entity is not refused once more", () => {
    const service = "{name: s, host: h, plugins: [{name: a}]}";
    expect(problemsOf(`services: [${service}, ${service}]`)).toHaveLength(1);
  });
});

describe("credentials", () => {
  test("without a key are refused", () => {
    expect(
      problemsOf(`
consumers:
- username: bob
  keyauth_credentials: [{tags: [a]}]
  jwt_secrets: [{secret: s}]
  basicauth_credentials: [{username: b}]`).map((problem) =>
        problem.replace(/^\d+:\d+: /, ""),
      ),
    ).toEqual([
      "keyauth_credential #1: key: is missing: in a file a credential must have it",
      "jwt_secret #1: key: is missing: in a file a credential must have it",
      'basicauth_credential "b": password: is missing: in a file a credential must have it',
    ]);
  });

  test("a password that Kong has hashed cannot be used", () => {
    const file = (transform: boolean, password: string) =>
      `_transform: ${transform}\nbasicauth_credentials: [{username: b, consumer: c, password: ${password}}]`;
    const hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    expect(problemsOf(file(false, hash))).toEqual([
      expect.stringContaining("password: is a hash made by Kong"),
    ]);
    expect(problemsOf(file(true, hash))).toEqual([]);
    expect(problemsOf(file(false, "secret"))).toEqual([]);
  });
});
