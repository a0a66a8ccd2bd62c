import { describe, expect, test } from "vitest";
import { KINDS } from "../../src/model/kinds.ts";
import {
  onDelete,
  referencesOf,
  withResolved,
} from "../../src/model/references.ts";
import { resourceToJson } from "../../src/model/resource-json.ts";
import { resourceOf } from "../support/arbitrary-resource.ts";

const ID = "0855b320-0dd2-547d-891d-601e9b38647f";
const OTHER = "481a9539-f49c-51b6-b2e2-fe99ee68866c";

describe("the references of a resource", () => {
  test("are by id or by name; the id wins", () => {
    expect(
      referencesOf(
        resourceOf({
          plugin: {
            name: "cors",
            route: { id: ID.toUpperCase(), name: "ignored" },
            consumer: { name: "ann" },
          },
        }),
      ),
    ).toEqual([
      { field: "route", kind: "route", ref: { id: ID } },
      { field: "consumer", kind: "consumer", ref: { name: "ann" } },
    ]);
    expect(referencesOf(resourceOf({ consumer: { username: "a" } }))).toEqual(
      [],
    );
  });

  test("may be a list of ids", () => {
    expect(
      referencesOf(
        resourceOf({
          service: {
            host: "a",
            ca_certificates: [ID, OTHER],
            client_certificate: { id: ID },
          },
        }),
      ),
    ).toEqual([
      { field: "client_certificate", kind: "certificate", ref: { id: ID } },
      { field: "ca_certificates[0]", kind: "ca_certificate", ref: { id: ID } },
      {
        field: "ca_certificates[1]",
        kind: "ca_certificate",
        ref: { id: OTHER },
      },
    ]);
  });

  test("are by id alone once resolved; an unknown one stays", () => {
    const route = resourceOf({
      plugin: { name: "cors", route: { name: "r" }, service: { name: "s" } },
    });
    const resolved = withResolved(route, ({ kind, ref }) =>
      kind === "route" && ref.name === "r" ? ID.toUpperCase() : undefined,
    );
    expect(resourceToJson(resolved)).toEqual({
      plugin: { name: "cors", route: { id: ID }, service: { name: "s" } },
    });
    expect(resourceToJson(route)).toMatchObject({
      plugin: { route: { name: "r" } },
    });
  });
});

test("deleting takes along what belongs to a resource, and nothing that only uses it", () => {
  const cascades = KINDS.flatMap((kind) =>
    KINDS.filter((referrer) => onDelete(kind, referrer) === "cascade").map(
      (referrer) => `${kind} > ${referrer}`,
    ),
  );
  expect(cascades).toEqual([
    "certificate > sni",
    "service > plugin",
    "route > plugin",
    "upstream > target",
    "consumer > consumer_group_consumer",
    "consumer > keyauth_credential",
    "consumer > basicauth_credential",
    "consumer > jwt_secret",
    "consumer > oauth2_credential",
    "consumer > hmacauth_credential",
    "consumer > acl",
    "consumer > plugin",
    "consumer_group > consumer_group_consumer",
    "consumer_group > plugin",
  ]);
});
