import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { decodeResource } from "../../../src/cp/catalog/resource.ts";
import type { TransactResult } from "../../../src/cp/catalog/operation.ts";
import {
  ResourceSchema,
  type Resource,
} from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { RSA_CERT, RSA_KEY } from "../../support/certificates.ts";
import { openCatalog, put, refusal } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const service = resource("service", {
  id: id(1),
  name: "pay",
  host: "pay.example",
});

/** What was stored of the n-th put. */
function stored(result: TransactResult, n = 0): Resource {
  const key = result.keys[n] ?? "";
  const value = result.head.snapshot.get(key);
  if (value === undefined) throw new Error(`"${key}" is not there`);
  return decodeResource(value);
}

test("a plugin keeps its name, unless a file or a deletion replaces all of it", async () => {
  const { catalog } = await openCatalog();
  const named = (name: string): Resource =>
    resource("plugin", { id: id(9), name });
  await catalog.transact([put(named("a"))]);
  for (const mask of [[], ["name"]])
    expect(
      await refusal(catalog.transact([put(named("b"), { mask })])),
    ).toEqual({
      code: "invalid_argument",
      violations: [
        "plugin a: name: cannot be changed: delete the plugin and make another one",
      ],
    });
  await catalog.transact([put(named("b"), { fromFile: true })]);
  const replaced = await catalog.transact([
    { type: "delete", kind: "plugin", id: id(9) },
    put(named("c")),
  ]);
  expect(stored(replaced).kind.value).toMatchObject({ name: "c" });
});

describe("a Put stores a resource in its full form", () => {
  test("with all defaults, at the next revision", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact([put(service)]);
    expect(result.revision).toBe(1n);
    expect(result.changes).toEqual([
      { kind: "service", id: id(1), name: "pay", action: "create" },
    ]);
    expect(stored(result).kind.value).toMatchObject({
      protocol: "http",
      port: 80,
      retries: 5,
      connectTimeout: 60000,
      enabled: true,
    });
    expect(catalog.head.cursor).toEqual(result.head.cursor);
    expect(catalog.head.cursor.root).toBe(result.head.snapshot.root);
  });

  test("with a url taken apart, which wins over the fields it stands for", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact([
      put(
        resource("service", {
          name: "a",
          url: "https://a.example/base",
          protocol: "http",
          host: "b.example",
          port: 1,
          path: "/x",
        }),
      ),
      put(resource("service", { name: "b", url: "http://b.example" })),
    ]);
    expect(stored(result, 0).kind.value).toMatchObject({
      protocol: "https",
      host: "a.example",
      port: 443,
      path: "/base",
      url: "",
    });
    expect(stored(result, 1).kind.value).toMatchObject({ port: 80, path: "" });
  });

  test("with ids in lower case, its own and those it refers to", async () => {
    const { catalog } = await openCatalog();
    const upper = "ABCDEF00-0000-4000-8000-00000000000A";
    const result = await catalog.transact([
      put(resource("service", { id: upper, host: "a.example" })),
      put(
        resource("route", { id: id(2), paths: ["/"], service: { id: upper } }),
      ),
    ]);
    expect(result.keys[0]).toBe(`service/${upper.toLowerCase()}`);
    expect(stored(result, 1).kind.value).toMatchObject({
      service: { id: upper.toLowerCase(), name: "" },
    });
  });

  test("without times that the request brings along", async () => {
    const { catalog } = await openCatalog();
    const first = await catalog.transact([put(service)]);
    const again = await catalog.transact([
      put(
        resource("service", {
          id: id(1),
          name: "pay",
          host: "pay.example",
          createdAt: 5,
          updatedAt: 6,
        }),
      ),
    ]);
    expect(again.revision).toBe(first.revision);
  });

  test("and leaves the message it was given as it was", async () => {
    const { catalog } = await openCatalog();
    const given = resource("service", { url: "http://a.example", name: "a" });
    const before = structuredClone(given);
    await catalog.transact([put(given)]);
    expect(structuredClone(given)).toEqual(before);
  });
});

describe("a Put finds what it replaces", () => {
  test("by its id, though the name is another", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([put(service)]);
    const result = await catalog.transact([
      put(resource("service", { id: id(1), name: "pay2", host: "b.example" })),
    ]);
    expect(result.changes).toEqual([
      { kind: "service", id: id(1), name: "pay2", action: "update" },
    ]);
    await expect(catalog.get("service", { name: "pay" })).rejects.toThrow(
      'service "pay": there is no service with this name',
    );
  });

  test("else by its name, and replaces it whole", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([
      put(
        resource("service", {
          id: id(1),
          name: "pay",
          host: "a.example",
          tags: ["x"],
        }),
      ),
    ]);
    const result = await catalog.transact([
      put(resource("service", { name: "pay", host: "b.example" })),
    ]);
    expect(stored(result).kind.value).toMatchObject({ id: id(1), tags: [] });
  });

  test("a plugin by its name and scope, a target by its upstream and address", async () => {
    const { catalog } = await openCatalog();
    const operations = [
      put(service),
      put(resource("plugin", { name: "cors", service: { name: "pay" } })),
      put(resource("plugin", { name: "cors" })),
      put(resource("upstream", { name: "bank" })),
      put(
        resource("target", { upstream: { name: "bank" }, target: "10.0.0.1" }),
      ),
      put(
        resource("target", {
          upstream: { name: "bank" },
          target: "10.0.0.1:81",
        }),
      ),
    ];
    const first = await catalog.transact(operations);
    expect(first.changes).toHaveLength(6);
    const again = await catalog.transact([
      ...operations,
      put(
        resource("target", {
          upstream: { name: "bank" },
          target: "10.0.0.1:8000",
        }),
      ),
    ]);
    expect(again.changes).toEqual([]);
    expect(again.keys.slice(0, 6)).toEqual(first.keys);
  });

  test("else it makes a new one with the id to be used then", async () => {
    const { catalog } = await openCatalog();
    const operation = put(
      resource("service", { name: "a", host: "a.example" }),
      { idIfNew: id(7) },
    );
    const first = await catalog.transact([operation]);
    expect(first.keys).toEqual([`service/${id(7)}`]);
    await catalog.transact([
      put(resource("service", { id: id(7), name: "b", host: "a.example" })),
    ]);
    // The id belongs to "b" now: what is called "a" is another one.
    const other = await catalog.transact([operation]);
    expect(other.changes).toEqual([
      expect.objectContaining({ action: "create", name: "a" }),
    ]);
    expect(other.keys).not.toEqual(first.keys);
    expect((await catalog.transact([operation])).changes).toEqual([]);
  });

  test("what has no name is found again by that id", async () => {
    const { catalog } = await openCatalog();
    const operation = put(resource("route", { paths: ["/"] }), {
      idIfNew: id(7),
    });
    await catalog.transact([operation]);
    await catalog.transact([
      put(resource("route", { id: id(7), paths: ["/other"] })),
    ]);
    const result = await catalog.transact([operation]);
    expect(result.changes).toEqual([
      { kind: "route", id: id(7), name: "", action: "update" },
    ]);
  });

  test("else with ids that ascend in the order of creation", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact(
      Array.from({ length: 100 }, (_, i) =>
        put(resource("route", { paths: [`/${i}`] })),
      ),
    );
    expect([...result.keys].sort()).toEqual(result.keys);
    expect(result.keys[0]).toMatch(/^route\/[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });
});

test("a Put of what is there already changes nothing and answers the head", async () => {
  const { catalog } = await openCatalog();
  const first = await catalog.transact([put(service)]);
  const second = await catalog.transact([put(service)]);
  expect(second).toMatchObject({
    revision: 1n,
    changes: [],
    keys: [`service/${id(1)}`],
  });
  expect(second.head).toEqual(first.head);
  expect((await catalog.history()).revisions).toHaveLength(1);
});

describe("references", () => {
  test("are found by name in what earlier operations have made", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact([
      put(service),
      put(
        resource("route", {
          id: id(2),
          name: "r",
          paths: ["/"],
          service: { name: "pay" },
        }),
      ),
      put(resource("consumer", { id: id(3), customId: "42" })),
      put(
        resource("plugin", {
          name: "correlation-id",
          route: { name: "r" },
          consumer: { name: "42" },
        }),
      ),
    ]);
    expect(stored(result, 1).kind.value).toMatchObject({
      service: { id: id(1), name: "" },
    });
    expect(stored(result, 3).kind.value).toMatchObject({
      route: { id: id(2) },
      consumer: { id: id(3) },
    });
  });

  test("a name may be an id, as files write it", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact([
      put(service),
      put(resource("route", { paths: ["/"], service: { name: id(1) } })),
    ]);
    expect(stored(result, 1).kind.value).toMatchObject({
      service: { id: id(1) },
    });
  });

  test("that lead nowhere are refused, each with what it is looking for", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.transact([
        put(
          resource("route", {
            name: "r",
            paths: ["/"],
            service: { name: "x" },
          }),
        ),
        put(
          resource("service", {
            name: "s",
            protocol: "https",
            host: "a.example",
            caCertificates: [id(5)],
          }),
        ),
        // Comes too late for the first.
        put(resource("service", { name: "x", host: "a.example" })),
      ]),
    );
    expect(refused.code).toBe("failed_precondition");
    expect(refused.violations).toEqual([
      'route r: service: no service "x": create it first, or earlier in the same transaction',
      `service s: ca_certificates[0]: no ca_certificate with id ${id(5)}: create it first, or earlier in the same transaction`,
    ]);
    expect(catalog.head.cursor.revision).toBe(0n);
  });

  test("to something with a mistake of its own are not complained about", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.transact([
        put(resource("service", { name: "s", host: "a.example", port: 70000 })),
        put(
          resource("route", {
            name: "r",
            paths: ["/"],
            service: { name: "s" },
          }),
        ),
      ]),
    );
    expect(refused.violations).toHaveLength(1);
    expect(refused.violations[0]).toMatch(/^service s: port: .*70000/);
  });
});

describe("what is wrong", () => {
  test("is said of all operations at once, and a field's rule decides the code", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([put(service)]);
    const refused = await refusal(
      catalog.transact([
        put(
          resource("route", {
            name: "r",
            paths: ["x", "~/("],
            service: { name: "nope" },
          }),
          { at: "kong.yml:3:5" },
        ),
        put(resource("service", { id: id(2), name: "pay", host: "" })),
        { type: "delete", kind: "route", name: "gone" },
        put(create(ResourceSchema)),
      ]),
    );
    expect(refused.code).toBe("invalid_argument");
    expect(refused.violations).toEqual([
      expect.stringMatching(/^route r: paths\[0\]: kong\.yml:3:5: must start/),
      expect.stringMatching(/^route r: paths\[1\]: kong\.yml:3:5: /),
      expect.stringMatching(
        /^route r: service: kong\.yml:3:5: no service "nope"/,
      ),
      "service pay: host: is required",
      "route gone: : there is no route with this name",
      expect.stringMatching(/^ : : no kind is set: give one of .*service/),
      expect.stringMatching(
        new RegExp(
          `^service pay: name: name "pay" is taken by service "pay" \\(id ${id(1)}\\); this one has id ${id(2)}: choose another`,
        ),
      ),
    ]);
    expect(catalog.head.cursor.revision).toBe(1n);
  });

  test("an id that is none", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.transact([
        put(resource("service", { id: "x/y", name: "s", host: "a.example" })),
      ]),
    );
    expect(refused.code).toBe("invalid_argument");
    expect(refused.violations[0]).toMatch(/^service s: id: /);
  });

  test("unknown protobuf fields, wherever they are", async () => {
    const { catalog } = await openCatalog();
    const unknown = [{ no: 999, wireType: 0, data: Uint8Array.of(1) }];
    const inside = resource("service", { name: "s", host: "a.example" });
    (inside.kind.value as { $unknown?: unknown }).$unknown = unknown;
    const beside = resource("service", { name: "s", host: "a.example" });
    beside.$unknown = unknown;
    const refused = await refusal(catalog.transact([put(inside), put(beside)]));
    expect(refused.code).toBe("invalid_argument");
    expect(refused.violations).toHaveLength(2);
    for (const violation of refused.violations)
      expect(violation).toMatch(/^service s: : .*unknown protobuf field.*999/);
  });

  test("a value of more than 256 KiB", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.transact([
        put(
          resource("plugin", {
            name: "custom",
            config: { text: "x".repeat(256 * 1024) },
          }),
        ),
      ]),
    );
    expect(refused.code).toBe("invalid_argument");
    expect(refused.violations[0]).toMatch(
      /^plugin custom: : is \d+ bytes long when stored; at most 262144 are allowed/,
    );
  });
});

describe("what is unique", () => {
  test("is judged at the end: two may swap their names", async () => {
    const { catalog } = await openCatalog();
    const named = (n: number, name: string) =>
      put(resource("service", { id: id(n), name, host: "a.example" }));
    await catalog.transact([named(1, "a"), named(2, "b")]);
    const result = await catalog.transact([named(1, "b"), named(2, "a")]);
    expect(result.changes).toHaveLength(2);
    expect((await catalog.get("service", { name: "a" })).key).toBe(
      `service/${id(2)}`,
    );
    expect((await catalog.get("service", { name: "b" })).key).toBe(
      `service/${id(1)}`,
    );
  });

  test("one that steps back leaves the name to whoever else claims it", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([put(service)]);
    const result = await catalog.transact([
      put(resource("service", { id: id(2), name: "pay", host: "b.example" })),
      { type: "delete", kind: "service", id: id(2) },
      put(resource("service", { name: "pay", host: "c.example" })),
    ]);
    expect(result.changes).toEqual([
      { kind: "service", id: id(1), name: "pay", action: "update" },
    ]);
  });

  test("two new ones of one name: the later one is told", async () => {
    const { catalog } = await openCatalog();
    const refused = await refusal(
      catalog.transact([
        put(resource("consumer", { id: id(9), username: "ann" })),
        put(resource("consumer", { id: id(8), username: "ann" })),
      ]),
    );
    expect(refused).toEqual({
      code: "already_exists",
      violations: [
        `consumer ann: username: username "ann" is taken by consumer "ann" (id ${id(9)}); this one has id ${id(8)}: choose another, or put that one by its id`,
      ],
    });
  });

  test("a key that is taken is not shown", async () => {
    const { catalog } = await openCatalog();
    const key = (n: number) =>
      put(
        resource("keyauthCredential", {
          id: id(n),
          key: "open-sesame",
          consumer: { name: "ann" },
        }),
      );
    const refused = await refusal(
      catalog.transact([
        put(resource("consumer", { username: "ann" })),
        key(1),
        key(2),
      ]),
    );
    expect(refused.code).toBe("already_exists");
    expect(refused.violations.join()).toContain("this key");
    expect(refused.violations.join()).not.toContain("sesame");
  });
});

describe("secrets that are made up", () => {
  const consumer = put(resource("consumer", { id: id(1), username: "ann" }));

  test("a key, and a shared secret where the algorithm needs one, are made by a Put", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact([
      consumer,
      put(resource("keyauthCredential", { consumer: { name: "ann" } })),
      put(resource("jwtSecret", { consumer: { name: "ann" } })),
    ]);
    const secret = expect.stringMatching(/^[A-Za-z0-9_-]{32}$/) as string;
    expect(stored(result, 1).kind.value).toMatchObject({ key: secret });
    expect(stored(result, 2).kind.value).toMatchObject({
      key: secret,
      secret,
      algorithm: "HS256",
    });
  });

  test("also for signing requests and for applications, but never one that is stored hashed", async () => {
    const { catalog } = await openCatalog();
    const hmac = { consumer: { name: "ann" }, username: "ann" };
    const app = (fields: object) =>
      put(
        resource("oauth2Credential", {
          id: id(5),
          consumer: { name: "ann" },
          name: "app",
          ...fields,
        }),
      );
    const result = await catalog.transact([
      consumer,
      put(resource("hmacauthCredential", hmac)),
      app({}),
    ]);
    const secret = expect.stringMatching(/^[A-Za-z0-9_-]{32}$/) as string;
    expect(stored(result, 1).kind.value).toMatchObject({ secret });
    expect(stored(result, 2).kind.value).toMatchObject({
      clientId: secret,
      clientSecret: secret,
    });
    const again = [put(resource("hmacauthCredential", hmac)), app({})];
    expect((await catalog.transact(again)).changes).toEqual([]);
    // What is there in clear is not the hash that is asked for now.
    const refused = await refusal(
      catalog.transact([app({ hashSecret: true })]),
    );
    expect(refused.violations.join()).toContain(
      "client_secret: must be given together with hash_secret",
    );
    const open = await catalog.transact([
      put(
        resource("oauth2Credential", {
          consumer: { name: "ann" },
          name: "open",
          clientType: "public",
        }),
      ),
    ]);
    expect(stored(open, 0).kind.value).toMatchObject({
      clientId: secret,
      clientSecret: "",
    });
  });

  test("a credential that is there keeps its own", async () => {
    const { catalog } = await openCatalog();
    const first = await catalog.transact([
      consumer,
      put(
        resource("keyauthCredential", { id: id(2), consumer: { id: id(1) } }),
      ),
      put(resource("jwtSecret", { id: id(3), consumer: { id: id(1) } })),
    ]);
    const second = await catalog.transact([
      put(
        resource("keyauthCredential", {
          id: id(2),
          consumer: { id: id(1) },
          tags: ["new"],
        }),
      ),
      put(resource("jwtSecret", { id: id(3), consumer: { id: id(1) } })),
    ]);
    expect(second.changes).toHaveLength(1);
    expect(stored(second, 0).kind.value).toMatchObject({
      key: (stored(first, 1).kind.value as { key: string }).key,
      tags: ["new"],
    });
  });

  test("a file must have them", async () => {
    const { catalog } = await openCatalog();
    const about = { at: "kong.yml:9:3", fromFile: true, idIfNew: id(5) };
    const refused = await refusal(
      catalog.transact([
        consumer,
        put(
          resource("keyauthCredential", { consumer: { name: "ann" } }),
          about,
        ),
        put(resource("jwtSecret", { consumer: { name: "ann" } }), about),
      ]),
    );
    expect(refused.code).toBe("invalid_argument");
    expect(refused.violations.map((line) => line.slice(0, 70))).toEqual([
      `keyauth_credential ${id(5)}: key: kong.yml:9:3: must be given in a file`.slice(
        0,
        70,
      ),
      `jwt_secret ${id(5)}: key: kong.yml:9:3: must be given in a file: one`.slice(
        0,
        70,
      ),
      `jwt_secret ${id(5)}: secret: kong.yml:9:3: must be given in a file: o`.slice(
        0,
        70,
      ),
    ]);
  });
});

describe("the names listed in a certificate", () => {
  const certificate = (n: number, ...snis: string[]) =>
    put(
      resource("certificate", {
        id: id(n),
        cert: RSA_CERT,
        key: RSA_KEY,
        snis,
      }),
    );

  test("become resources, and those not listed any more go", async () => {
    const { catalog } = await openCatalog();
    const first = await catalog.transact([
      certificate(1, "a.example", "B.example"),
    ]);
    expect(
      first.changes.map(
        ({ kind, name, action }) => `${action} ${kind} ${name}`,
      ),
    ).toEqual([
      `create certificate ${id(1)}`,
      "create sni a.example",
      "create sni b.example",
    ]);
    expect(stored(first).kind.value).toMatchObject({ snis: [] });
    const second = await catalog.transact([
      certificate(1, "b.example", "c.example"),
    ]);
    expect(
      second.changes.map(({ name, action }) => `${action} ${name}`).sort(),
    ).toEqual(["create c.example", "delete a.example"]);
    // Without a list they stay.
    expect((await catalog.transact([certificate(1)])).changes).toEqual([]);
  });

  test("all go when a mask asks for the list and it is empty", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([certificate(1, "a.example", "b.example")]);
    const masked = (mask: string[]) =>
      catalog.transact([put(resource("certificate", { id: id(1) }), { mask })]);
    expect((await masked(["tags"])).changes).toEqual([]);
    const { changes } = await masked(["snis"]);
    expect(
      changes.map(({ name, action }) => `${action} ${name}`).sort(),
    ).toEqual(["delete a.example", "delete b.example"]);
  });

  test("cannot be taken from another certificate by being listed", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([certificate(1, "a.example")]);
    const refused = await refusal(
      catalog.transact([certificate(2, "b.example", "a.example")]),
    );
    expect(refused.code).toBe("already_exists");
    expect(refused.violations[0]).toMatch(
      new RegExp(
        `^certificate ${id(2)}: snis\\[1\\]: sni "a.example" .* belongs to certificate ${id(1)}: delete it first`,
      ),
    );
  });

  test("have the same ids each time they come from a file", async () => {
    const ids = await Promise.all(
      [1, 2].map(async () => {
        const { catalog } = await openCatalog();
        const result = await catalog.transact([
          put(
            resource("certificate", {
              id: id(1),
              cert: RSA_CERT,
              key: RSA_KEY,
              snis: ["a.example"],
            }),
            { fromFile: true },
          ),
        ]);
        return result.changes.map((change) => change.id);
      }),
    );
    expect(ids[0]).toEqual(ids[1]);
  });
});

describe("warnings", () => {
  test("of the model come with who, and where it stands", async () => {
    const { catalog } = await openCatalog();
    const result = await catalog.transact([
      put(resource("plugin", { id: id(1), name: "unheard-of" }), {
        at: "kong.yml:2:1",
      }),
    ]);
    expect(result.warnings).toEqual([
      {
        kind: "plugin",
        id: id(1),
        name: "unheard-of",
        field: "name",
        message: expect.stringContaining(
          "not a plugin that this version knows",
        ) as string,
        nodes: [],
        position: "kong.yml:2:1",
      },
    ]);
  });

  test("of nodes that lack a feature name them, for what was changed only", async () => {
    const { catalog } = await openCatalog({
      nodeWarnings: {
        lacking: (features) =>
          features
            .filter(({ name }) => name === "plugin/cors")
            .flatMap((feature) => [
              { feature, refusing: true, nodes: ["n1", "n2"] },
              { feature, refusing: false, nodes: ["n3"] },
            ]),
        refusingWithout: () => [],
      },
    });
    const plugin = put(resource("plugin", { id: id(1), name: "cors" }));
    const first = await catalog.transact([put(service), plugin]);
    const about = { kind: "plugin", id: id(1), name: "cors", field: "" };
    expect(first.warnings).toEqual([
      {
        ...about,
        message:
          "needs plugin/cors (version 1), which 2 connected nodes lack: n1, n2; they refuse the revision for that and go on serving what they have",
        nodes: ["n1", "n2"],
        refusing: true,
        position: "",
      },
      {
        ...about,
        message:
          "needs plugin/cors (version 1), which 1 connected node lacks: n3; it answers 503 on routes in its scope",
        nodes: ["n3"],
        refusing: false,
        position: "",
      },
    ]);
    expect((await catalog.transact([plugin])).warnings).toEqual([]);
  });

  test("say in a dry run who would refuse it for what stays as it is", async () => {
    const { catalog } = await openCatalog({
      nodeWarnings: {
        lacking: () => [],
        refusingWithout: (changed) => [
          {
            feature: { name: "plugin/cors", version: 1 },
            refusing: true,
            nodes: [...changed],
          },
        ],
      },
    });
    const { warnings } = await catalog.transact([put(service)], {
      dryRun: true,
    });
    expect(warnings).toMatchObject([{ kind: "", refusing: true }]);
    expect(warnings[0]?.nodes).toEqual([
      `service/${service.kind.value?.id ?? ""}`,
    ]);
    expect(warnings[0]?.message).toContain("what is there already and stays");
    const done = await catalog.transact([put(service)]);
    expect(done.warnings).toEqual([]);
  });
});
