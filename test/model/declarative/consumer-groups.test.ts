import { describe, expect, test } from "vitest";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { resourceToJson } from "../../../src/model/resource-json.ts";
import { id } from "../../support/resources.ts";

function parse(content: string) {
  const parsed = parseDeclarative([
    { name: "f.yml", content: `_format_version: "3.0"\n${content}` },
  ]);
  return {
    problems: parsed.problems.map(describeProblem),
    missing: parsed.missing.map(describeProblem),
    json: parsed.entities.map(({ resource }) => resourceToJson(resource)),
    ids: parsed.entities.map(({ idIfNew }) => idIfNew),
  };
}

const MEMBER = {
  consumer_group_consumer: {
    consumer: { name: "ann" },
    consumer_group: { name: "gold" },
  },
};
const BOTH = [
  { consumer: { username: "ann" } },
  { consumer_group: { name: "gold" } },
];

describe("a membership", () => {
  test.each([
    [
      "in the consumer, as a name",
      "consumer_groups: [{name: gold}]\nconsumers: [{username: ann, groups: [gold]}]",
    ],
    [
      "in the consumer, with what decK writes of the group",
      "consumer_groups: [{name: gold}]\nconsumers: [{username: ann, groups: [{name: gold, tags: [a], created_at: 1}]}]",
    ],
    [
      "in the group",
      "consumers: [{username: ann}]\nconsumer_groups: [{name: gold, consumers: [{username: ann}]}]",
    ],
    [
      "as an entity of its own",
      "consumers: [{username: ann}]\nconsumer_groups: [{name: gold}]\nconsumer_group_consumers: [{consumer: ann, consumer_group: gold}]",
    ],
  ])("%s: is the same one", (_, content) => {
    const { problems, missing, json, ids } = parse(content);
    expect({ problems, missing }).toEqual({ problems: [], missing: [] });
    expect(json).toEqual([...BOTH, MEMBER]);
    expect(ids[2]).toBe(
      parse(
        "consumers: [{username: ann, groups: [gold]}]\nconsumer_groups: [{name: gold}]",
      ).ids[2],
    );
  });

  test("may stand on both sides", () => {
    const { problems, json, ids } = parse(
      "consumers: [{username: ann, groups: [gold]}]\nconsumer_groups: [{name: gold, consumers: [ann]}]",
    );
    expect(problems).toEqual([]);
    expect(json).toEqual([...BOTH, MEMBER, MEMBER]);
    expect(new Set(ids).size).toBe(3);
  });

  test("goes by the group's id where it has one", () => {
    const { problems, missing, json } = parse(
      `consumer_groups: [{name: gold, id: ${id(7)}}]\nconsumers: [{username: ann, groups: [{id: ${id(7)}, name: gold}]}]`,
    );
    expect({ problems, missing }).toEqual({ problems: [], missing: [] });
    expect(json[2]).toMatchObject({
      consumer_group_consumer: { consumer_group: { id: id(7) } },
    });
  });

  test("in a group that is not there is missing, with its place", () => {
    expect(
      parse("consumers:\n- username: ann\n  groups:\n  - name: silver").missing,
    ).toEqual([
      'f.yml:5:5: consumer_group_consumer "silver": consumer_group: no consumer_group "silver": create it first, or earlier in the same transaction',
    ]);
  });

  test("that names nothing is refused, with its place", () => {
    expect(
      parse("consumers: [{username: ann, groups: [{nme: gold}, 1, [gold]]}]")
        .problems,
    ).toEqual([
      'f.yml:2:38: consumer "ann": groups[0]: expected a consumer_group\'s name, {name: …} or {id: …}, got a map',
      'f.yml:2:51: consumer "ann": groups[1]: expected a consumer_group\'s name, {name: …} or {id: …}, got 1',
      'f.yml:2:54: consumer "ann": groups[2]: expected a consumer_group\'s name, {name: …} or {id: …}, got a list',
    ]);
    expect(
      parse("consumers: [{username: ann, groups: gold}]").problems,
    ).toEqual([
      'f.yml:2:37: consumer "ann": groups: expected a list of names, got "gold"',
    ]);
  });

  test("has the tags that all of the file's entities have", () => {
    const { json } = parse(
      "_info: {select_tags: [team]}\nconsumer_groups: [{name: gold}]\nconsumers: [{username: ann, groups: [gold]}]",
    );
    expect(json[2]).toMatchObject({
      consumer_group_consumer: { tags: ["team"] },
    });
  });
});

test("plugins in groups are the groups' own", () => {
  const { problems, json } = parse(
    "consumer_groups:\n- name: gold\n  plugins: [{name: rate-limiting, config: {minute: 9}}]\n- name: free\n  plugins: [{name: rate-limiting, config: {minute: 1}}]",
  );
  expect(problems).toEqual([]);
  expect(json.slice(2)).toEqual(
    [
      ["gold", 9],
      ["free", 1],
    ].map(([name, minute]) => ({
      plugin: {
        name: "rate-limiting",
        config: { minute },
        consumer_group: { name },
      },
    })),
  );
});

describe("it is refused", () => {
  test.each([
    [
      "a plugin for a consumer and a group",
      "consumers: [{username: ann}]\nconsumer_groups: [{name: g, plugins: [{name: mine, consumer: ann}]}]",
      'f.yml:3:62: plugin "mine": consumer: only one of them may be given',
    ],
    [
      "a plugin for a group that finds out who asks",
      "consumer_groups: [{name: g, plugins: [{name: key-auth}]}]",
      'f.yml:2:39: plugin "key-auth": consumer_group: the plugin "key-auth" cannot be limited to a consumer group',
    ],
    [
      "a vault that is named like a sort of vault",
      "vaults: [{prefix: env, name: env}]",
      'f.yml:2:19: vault "env": prefix: must not be in list [aws, azure, conjur, env, gcp, hcv, konnect], got "env"',
    ],
    [
      "an application without its secret",
      "consumers: [{username: a, oauth2_credentials: [{name: n, client_id: c}, {name: n, client_id: d, client_type: public}]}]",
      'f.yml:2:48: oauth2_credential "c": client_secret: is missing: in a file a credential must have it',
    ],
    [
      "an application that is sent back nowhere",
      "consumers: [{username: a, oauth2_credentials: [{name: n, client_id: c, client_secret: s, redirect_uris: ['https://a.b/c', 'https://a.b/#x']}]}]",
      'f.yml:2:123: oauth2_credential "c": redirect_uris[1]: must be an absolute URI with a host and without a fragment, got "https://a.b/#x"',
    ],
    [
      "a secret to sign with that is not there",
      "consumers: [{username: a, hmacauth_credentials: [{username: u}]}]",
      'f.yml:2:50: hmacauth_credential "u": secret: is missing: in a file a credential must have it',
    ],
  ])("%s", (_, content, problem) => {
    expect(parse(content).problems).toContain(problem);
  });
});

test("two vaults of one sort, and two applications of one name, are two", () => {
  expect(
    parse(
      "vaults: [{prefix: a-b, name: env}, {prefix: a-c, name: env}]\nconsumers: [{username: a, oauth2_credentials: [{name: n, client_id: c, client_secret: s}, {name: n, client_id: d, client_secret: s}]}]",
    ).problems,
  ).toEqual([]);
});
