import { describe, expect, test } from "vitest";
import { deterministicId, isUuid } from "../../src/model/ids.ts";
import { resourceOf } from "../support/arbitrary-resource.ts";

const SERVICE = "0855b320-0dd2-547d-891d-601e9b38647f";
const CONSUMER = "4b1b701d-de2b-5588-9aa2-3b97061d9f52";

describe("the id of a resource that is given none", () => {
  test.each([
    [
      "a service",
      { service: { name: "my-service", host: "a" } },
      "0855b320-0dd2-547d-891d-601e9b38647f",
    ],
    [
      "a route",
      { route: { name: "my-route" } },
      "481a9539-f49c-51b6-b2e2-fe99ee68866c",
    ],
    [
      "a consumer",
      { consumer: { username: "my-user", custom_id: "x" } },
      "4b1b701d-de2b-5588-9aa2-3b97061d9f52",
    ],
  ])("%s: is the one that Kong gives", (_, json, id) => {
    expect(deterministicId(resourceOf(json))).toBe(id);
  });

  test.each([
    { upstream: { name: "u" } },
    { sni: { name: "a.example" } },
    { consumer: { custom_id: "my-user" } },
    { plugin: { name: "cors", service: { id: SERVICE } } },
    { target: { target: "a:80", upstream: { id: SERVICE } } },
    { acl: { group: "admins", consumer: { id: CONSUMER } } },
    { keyauth_credential: { key: "k", consumer: { id: CONSUMER } } },
    { basicauth_credential: { username: "u", consumer: { id: CONSUMER } } },
    { jwt_secret: { key: "k", consumer: { id: CONSUMER } } },
    { hmacauth_credential: { username: "u", consumer: { id: CONSUMER } } },
    { oauth2_credential: { client_id: "c", consumer: { id: CONSUMER } } },
    { vault: { prefix: "my-env", name: "env" } },
    { consumer_group: { name: "gold" } },
    {
      consumer_group_consumer: {
        consumer: { id: CONSUMER },
        consumer_group: { id: SERVICE },
      },
    },
    { plugin: { name: "cors", consumer_group: { id: SERVICE } } },
    { ca_certificate: { cert_digest: "00" } },
    { certificate: { cert: "c", key: "k" } },
    { route: { paths: ["/a"], service: { id: SERVICE } } },
  ])(
    "%j: is a UUID that is the same again, and not with an ordinal",
    (json) => {
      const id = deterministicId(resourceOf(json));
      expect(id).toMatch(/^[0-9a-f-]{14}5[0-9a-f-]{21}$/);
      expect(isUuid(id)).toBe(true);
      expect(deterministicId(resourceOf(json))).toBe(id);
      expect(deterministicId(resourceOf(json), 1)).not.toBe(id);
    },
  );

  test("depends on everything in a resource without a name, but not on the id", () => {
    const id = (route: Record<string, string | string[]>): string =>
      deterministicId(resourceOf({ route: { paths: ["/a"], ...route } }));
    expect(id({ id: SERVICE })).toBe(id({}));
    expect(id({ methods: ["GET"] })).not.toBe(id({}));
  });

  test("of a consumer with only a custom_id is not that of the consumer with this username", () => {
    expect(
      deterministicId(resourceOf({ consumer: { custom_id: "ann" } })),
    ).not.toBe(deterministicId(resourceOf({ consumer: { username: "ann" } })));
  });

  test("of a plugin depends on its scope, not on its configuration", () => {
    const id = (plugin: Record<string, string | { id: string }>): string =>
      deterministicId(resourceOf({ plugin: { name: "cors", ...plugin } }));
    expect(id({ service: { id: SERVICE } })).not.toBe(
      id({ route: { id: SERVICE } }),
    );
    expect(id({ instance_name: "x" })).toBe(id({}));
  });
});

test("a UUID is one in either case", () => {
  expect(isUuid(SERVICE)).toBe(true);
  expect(isUuid(SERVICE.toUpperCase())).toBe(true);
  expect(isUuid(`${SERVICE}0`)).toBe(false);
  expect(isUuid("")).toBe(false);
});
