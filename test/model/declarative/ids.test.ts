import { describe, expect, test } from "vitest";
import { idsOf, parse, problemsOf } from "./parsing.ts";

describe("the id of an entity that the file gives none", () => {
  test("is Kong's where Kong's follows from a name", () => {
    // Literals of Kong's own tests.
    expect(
      idsOf(`
services: [{name: my-service, host: h}]
routes: [{name: my-route, paths: [/]}]
consumers: [{username: my-user}]`),
    ).toEqual({
      "services[0]": "0855b320-0dd2-547d-891d-601e9b38647f",
      "routes[0]": "481a9539-f49c-51b6-b2e2-fe99ee68866c",
      "consumers[0]": "4b1b701d-de2b-5588-9aa2-3b97061d9f52",
    });
  });

  test("is the given one in lower case where there is one", () => {
    expect(
      idsOf(
        "services: [{name: a, host: h, id: 5F6C1B0E-8A54-4C1E-9D3C-0D7F2B1A9E77}]",
      ),
    ).toEqual({ "services[0]": "5f6c1b0e-8a54-4c1e-9d3c-0d7f2b1a9e77" });
  });

  test("is the same for the same content and another for other content", () => {
    const file = (path: string) =>
      `services: [{name: s, host: h, routes: [{paths: [${path}], plugins: [{name: p}]}]}]`;
    expect(idsOf(file("/a"))).toEqual(idsOf(file("/a")));
    const [a, b] = [idsOf(file("/a")), idsOf(file("/b"))];
    for (const child of [
      "services[0].routes[0]",
      "services[0].routes[0].plugins[0]",
    ])
      expect(a[child]).not.toBe(b[child]);
  });

  test("does not depend on whether defaults are written out", () => {
    expect(idsOf("routes: [{paths: [/a]}]")).toEqual(
      idsOf("routes: [{paths: [/a], strip_path: true, regex_priority: 0}]"),
    );
  });

  test("differs between nameless entities that are alike, in their order", () => {
    const one = idsOf("routes: [{paths: [/a]}]");
    const two = idsOf("routes: [{paths: [/a]}, {paths: [/a]}]");
    expect(problemsOf("routes: [{paths: [/a]}, {paths: [/a]}]")).toEqual([]);
    expect(two["routes[0]"]).toBe(one["routes[0]"]);
    expect(new Set(Object.values(two)).size).toBe(2);
  });
});

test("nested and flat forms of one configuration are the same entities with the same ids", () => {
  const nested = `
services:
- name: s
  host: h
  plugins: [{name: a, config: {x: 1}}]
  routes:
  - {name: r, paths: [/r], plugins: [{name: a}, {name: b, consumer: bob}]}
consumers:
- username: bob
  keyauth_credentials: [{key: k}]
  basicauth_credentials: [{username: b, password: p}]
  jwt_secrets: [{key: j, secret: s}]
  acls: [{group: g}]
  plugins: [{name: a}]
upstreams:
- {name: u.example, targets: [{target: "h:1"}, {target: "h:2", weight: 5}]}`;
  const flat = `
plugins:
- {name: a, config: {x: 1}, service: s}
- {name: a, route: r}
- {name: b, consumer: {name: bob}, route: {name: r}}
- {name: a, consumer: bob}
targets:
- {target: "h:1", upstream: u.example}
- {target: "h:2", upstream: {name: u.example}, weight: 5}
acls: [{group: g, consumer: bob}]
jwt_secrets: [{key: j, secret: s, consumer: bob}]
basicauth_credentials: [{username: b, password: p, consumer: bob}]
keyauth_credentials: [{key: k, consumer: bob}]
upstreams: [{name: u.example}]
consumers: [{username: bob}]
routes: [{name: r, paths: [/r], service: s}]
services: [{name: s, host: h}]`;
  const view = (text: string) => {
    const { entities, problems } = parse(text);
    expect(problems).toEqual([]);
    return entities
      .map(({ idIfNew, resource }) => ({ idIfNew, resource }))
      .sort((a, b) => (a.idIfNew < b.idIfNew ? -1 : 1));
  };
  expect(view(nested)).toHaveLength(14);
  expect(view(nested)).toEqual(view(flat));
});
