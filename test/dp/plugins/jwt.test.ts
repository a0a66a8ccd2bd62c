import {
  createHmac,
  generateKeyPairSync,
  sign as signWith,
  type KeyObject,
} from "node:crypto";
import { SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { ManualClock } from "../../support/manual-clock.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";

const NOW = Date.UTC(2030, 0, 1) / 1000;

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const curves = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ES512: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  EdDSA: generateKeyPairSync("ed25519"),
};

const pem = ({ publicKey }: { readonly publicKey: KeyObject }): string =>
  publicKey.export({ type: "spki", format: "pem" }).toString();

const SECRET = "correct horse battery staple";

/** What is signed with, by the algorithm and so by the name of the credential. */
const SIGNERS: Readonly<Record<string, KeyObject | Buffer>> = {
  HS256: Buffer.from(SECRET),
  HS384: Buffer.from(SECRET),
  HS512: Buffer.from(SECRET),
  RS256: rsa.privateKey,
  RS384: rsa.privateKey,
  RS512: rsa.privateKey,
  PS256: rsa.privateKey,
  PS384: rsa.privateKey,
  PS512: rsa.privateKey,
  ...Object.fromEntries(
    Object.entries(curves).map(([name, pair]) => [name, pair.privateKey]),
  ),
};

const ALGORITHMS = Object.keys(SIGNERS);

function publicKeyFor(algorithm: string): string {
  const pair = Object.entries(curves).find(([name]) => name === algorithm)?.[1];
  return pem(pair ?? rsa);
}

const people: readonly Resource[] = [
  resource("consumer", { id: id(20), username: "ann" }),
  resource("consumer", { id: id(21), username: "guest" }),
  ...ALGORITHMS.map((algorithm, i) =>
    resource("jwtSecret", {
      id: id(30 + i),
      consumer: { id: id(20) },
      key: algorithm,
      algorithm,
      ...(algorithm.startsWith("HS")
        ? { secret: SECRET }
        : { rsaPublicKey: publicKeyFor(algorithm) }),
    }),
  ),
  resource("jwtSecret", {
    id: id(60),
    consumer: { id: id(20) },
    key: "base64",
    secret: Buffer.from([0, 255, 128, 7, 9]).toString("base64url"),
  }),
];

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** A token of HS256 made by hand, so that it may be anything. */
function handmade(header: object, claims: unknown, secret = SECRET): string {
  const content = `${part(header)}.${part(claims)}`;
  const signature = createHmac("sha256", secret).update(content);
  return `${content}.${signature.digest("base64url")}`;
}

const hs = { alg: "HS256", typ: "JWT" };
const good = handmade(hs, { iss: "HS256" });

function bearer(token: string) {
  return { headers: { authorization: `Bearer ${token}` } };
}

function start(config: object = {}): Promise<PluginGateway> {
  return PluginGateway.start(
    { jwt: config },
    { resources: people, gateway: { clock: new ManualClock(NOW * 1000) } },
  );
}

describe("jwt accepts a token", () => {
  test("of every algorithm, and tells the upstream whose it is", async () => {
    await using plane = await start();
    for (const [i, alg] of ALGORITHMS.entries()) {
      const token = await new SignJWT({ iss: alg })
        .setProtectedHeader({ alg })
        .sign(SIGNERS[alg] ?? Buffer.alloc(0));
      const answer = await plane.ask("/api", bearer(token));
      expect([alg, answer.status]).toEqual([alg, 200]);
      expect(
        answer.json<{ headers: Record<string, string> }>().headers,
      ).toMatchObject({
        "x-consumer-username": "ann",
        "x-credential-identifier": id(30 + i),
      });
    }
  });

  test.each<[where: string, config: object, path: string, headers: object]>([
    ["in the query", {}, `/api?jwt=${good}`, {}],
    ["in another argument", { uri_param_names: ["t"] }, `/api?t=${good}`, {}],
    [
      "in a cookie",
      { cookie_names: ["c"] },
      "/api",
      { cookie: `a=b; c=${good}` },
    ],
    [
      "in another header",
      { header_names: ["X-T"] },
      "/api",
      { "x-t": `bearer ${good}` },
    ],
    [
      "twice, when it is the same",
      {},
      `/api?jwt=${good}`,
      { authorization: `Bearer ${good}` },
    ],
    [
      "that names its key by another claim",
      { key_claim_name: "kid" },
      "/api",
      { authorization: `Bearer ${handmade(hs, { kid: "HS256" })}` },
    ],
    [
      "that names its key in its header",
      { key_claim_name: "kid" },
      "/api",
      { authorization: `Bearer ${handmade({ ...hs, kid: "HS256" }, {})}` },
    ],
  ])("%s", async (_, config, path, headers) => {
    await using plane = await start(config);
    const options = { headers: headers as Record<string, string> };
    expect((await plane.ask(path, options)).status).toBe(200);
  });

  test("signed with a secret that is stored in base64", async () => {
    await using plane = await start({ secret_is_base64: true });
    const content = `${part(hs)}.${part({ iss: "base64" })}`;
    const signature = createHmac("sha256", Buffer.from([0, 255, 128, 7, 9]))
      .update(content)
      .digest("base64url");
    const answer = await plane.ask("/api", bearer(`${content}.${signature}`));
    expect(answer.status).toBe(200);
  });
});

describe("jwt refuses", () => {
  const confused = (() => {
    // Signed with the text of the public key as if it were a secret.
    const content = `${part(hs)}.${part({ iss: "RS256" })}`;
    const mac = createHmac("sha256", pem(rsa)).update(content);
    return `${content}.${mac.digest("base64url")}`;
  })();
  const none = `${part({ alg: "none" })}.${part({ iss: "HS256" })}.`;
  const otherHash = (() => {
    const content = `${part({ alg: "RS384" })}.${part({ iss: "RS256" })}`;
    const signature = signWith("sha384", Buffer.from(content), rsa.privateKey);
    return `${content}.${signature.toString("base64url")}`;
  })();

  test.each<[what: string, token: string | undefined, message: string]>([
    ["a request without a token", undefined, "Unauthorized"],
    ["what is no token", "abc", "Bad token; invalid JSON"],
    ["a token in two parts", "e30.e30", "Bad token; invalid JSON"],
    ["claims that are no object", handmade(hs, [1]), "Bad token; invalid JSON"],
    [
      "another type",
      handmade({ alg: "HS256", typ: "JWE" }, {}),
      "Bad token; invalid typ",
    ],
    ["no algorithm", handmade({}, { iss: "HS256" }), "Bad token; invalid alg"],
    ['the algorithm "none"', none, "Bad token; invalid alg"],
    [
      "demands that it does not know",
      handmade({ ...hs, crit: ["b64"], b64: false }, {}),
      "Bad token; invalid alg",
    ],
    [
      "a token without the claim",
      handmade(hs, { sub: "x" }),
      "No mandatory 'iss' in claims",
    ],
    ["an empty claim", handmade(hs, { iss: "" }), "Invalid 'iss' in claims"],
    [
      "a claim that is no text",
      handmade(hs, { iss: 5 }),
      "Invalid 'iss' in claims",
    ],
    [
      "an unknown key",
      handmade(hs, { iss: "x" }),
      "No credentials found for given 'iss'",
    ],
    [
      "a signature of another secret",
      handmade(hs, { iss: "HS256" }, "x"),
      "Invalid signature",
    ],
    [
      "a changed claim",
      good.replace(/\.[^.]+\./, `.${part({ iss: "HS256", a: 1 })}.`),
      "Invalid signature",
    ],
    ["the public key as a secret", confused, "Invalid algorithm"],
    ["another algorithm with the right key", otherHash, "Invalid algorithm"],
  ])("%s", async (_, token, message) => {
    await using plane = await start();
    const answer = await plane.ask(
      "/api",
      token === undefined ? {} : bearer(token),
    );
    expect(answer.status).toBe(401);
    expect(answer.json()["message"]).toBe(message);
    expect(answer.headers["www-authenticate"]).toBe(
      token === undefined ? "Bearer" : 'Bearer error="invalid_token"',
    );
  });

  test("two different tokens", async () => {
    await using plane = await start({ realm: "r" });
    const answer = await plane.ask(`/api?jwt=${confused}`, bearer(good));
    expect(answer.status).toBe(401);
    expect(answer.json()["message"]).toBe("Multiple tokens provided");
    expect(answer.headers["www-authenticate"]).toBe(
      'Bearer realm="r", error="invalid_token"',
    );
  });

  test("a token in the query when no argument may have it", async () => {
    await using plane = await start({ uri_param_names: [] });
    expect((await plane.ask(`/api?jwt=${good}`)).status).toBe(401);
  });
});

describe("claims about time", () => {
  const all = { claims_to_verify: ["exp", "nbf", "iat"] };
  const fine = { exp: NOW + 1, nbf: NOW, iat: NOW };
  test.each<[config: object, claims: object, problems: object | undefined]>([
    [all, fine, undefined],
    [all, { ...fine, exp: NOW }, { exp: "token expired" }],
    [all, { ...fine, nbf: NOW + 1 }, { nbf: "token not valid yet" }],
    [all, { ...fine, iat: NOW + 1 }, { iat: "token issued in the future" }],
    [
      all,
      { exp: "soon" },
      {
        exp: "must be a number",
        nbf: "must be a number",
        iat: "must be a number",
      },
    ],
    [{}, { exp: 1, nbf: NOW + 9 }, undefined],
    [
      { claims_to_verify: ["exp"], maximum_expiration: 60 },
      { exp: NOW + 60 },
      undefined,
    ],
    [
      { claims_to_verify: ["exp"], maximum_expiration: 60 },
      { exp: NOW + 61 },
      { exp: "exceeds maximum allowed expiration" },
    ],
  ])("with %j, %j: %j", async (config, claims, problems) => {
    await using plane = await start(config);
    const token = handmade(hs, { iss: "HS256", ...claims });
    const answer = await plane.ask("/api", bearer(token));
    expect(answer.status).toBe(problems === undefined ? 200 : 401);
    if (problems !== undefined) expect(answer.json()).toEqual(problems);
  });
});

test("a preflight needs a token unless that is switched off", async () => {
  await using plane = await start();
  const options = { method: "OPTIONS" };
  expect((await plane.ask("/api", options)).status).toBe(401);
  await plane.configure({ jwt: { run_on_preflight: false } });
  expect((await plane.ask("/api", options)).status).toBe(200);
});

test("whoever has no good token is the anonymous consumer, if there is one", async () => {
  await using plane = await start({ anonymous: id(21) });
  const answer = await plane.ask("/api", bearer("abc"));
  expect(
    answer.json<{ headers: Record<string, string> }>().headers,
  ).toMatchObject({
    "x-consumer-username": "guest",
    "x-anonymous-consumer": "true",
  });
  await plane.configure({ jwt: { anonymous: "nobody" } });
  const missing = await plane.ask("/api");
  expect(missing.status).toBe(500);
  expect(missing.json()["message"]).toBe(
    "anonymous consumer nobody is configured but doesn't exist",
  );
});

test("a key that changes counts from the revision that has it", async () => {
  await using plane = await start();
  expect((await plane.ask("/api", bearer(good))).status).toBe(200);
  const changed = plane.resources.map((one) =>
    one.kind.case === "jwtSecret" && one.kind.value.key === "HS256"
      ? resource("jwtSecret", { ...one.kind.value, secret: "changed" })
      : one,
  );
  await plane.configure({ jwt: {} }, changed);
  expect((await plane.ask("/api", bearer(good))).status).toBe(401);
  const renewed = handmade(hs, { iss: "HS256" }, "changed");
  expect((await plane.ask("/api", bearer(renewed))).status).toBe(200);
});
