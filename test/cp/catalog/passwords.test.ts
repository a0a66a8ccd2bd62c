import { randomBytes, scryptSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  hashPassword,
  isStoredPassword,
  verifyPassword,
} from "../../../src/runtime/passwords.ts";
import type { Catalog } from "../../../src/cp/catalog/catalog.ts";
import { openCatalog, put, refusal } from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

describe("a stored password", () => {
  test("verifies the text it was made of and no other, and is another each time", async () => {
    const stored = await hashPassword("sesame", randomBytes);
    expect(stored).toMatch(
      /^\$scrypt\$ln=14,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/,
    );
    expect(await verifyPassword("sesame", stored)).toBe(true);
    expect(await verifyPassword("Sesame", stored)).toBe(false);
    expect(await hashPassword("sesame", randomBytes)).not.toBe(stored);
  });

  test("is plain scrypt, which others can check", async () => {
    const stored = await hashPassword("sesame", randomBytes);
    const [salt = "", hash = ""] = stored.split("$").slice(3);
    expect(
      scryptSync("sesame", Buffer.from(salt, "base64"), 32, {
        N: 2 ** 14,
        r: 8,
        p: 1,
      })
        .toString("base64")
        .replaceAll("=", ""),
    ).toBe(hash);
  });

  test("with other costs verifies too, within reason", async () => {
    const salt = Buffer.alloc(8, 1);
    const hash = scryptSync("x", salt, 16, { N: 4, r: 2, p: 2 });
    const of = (ln: number, r: number, p: number): string =>
      `$scrypt$ln=${ln},r=${r},p=${p}$${salt.toString("base64").replaceAll("=", "")}$${hash.toString("base64").replaceAll("=", "")}`;
    expect(await verifyPassword("x", of(2, 2, 2))).toBe(true);
    for (const [ln, r, p] of [
      [30, 8, 1],
      [14, 64, 1],
      [14, 8, 9],
      [0, 8, 1],
      [14, 0, 1],
    ] as const)
      expect(isStoredPassword(of(ln, r, p))).toBe(false);
  });

  test.each(["", "sesame", "$scrypt$", "$scrypt$ln=14,r=8,p=1$AAAA$AAAA"])(
    "is not %j",
    (text) => {
      expect(isStoredPassword(text)).toBe(false);
    },
  );
});

describe("putting an application that has its secret stored hashed", () => {
  const app = (clientSecret: string, fields: object = {}) =>
    put(
      resource("oauth2Credential", {
        consumer: { id: id(1) },
        name: "app",
        clientId: "c",
        clientSecret,
        hashSecret: true,
        ...fields,
      }),
    );
  const consumer = put(resource("consumer", { id: id(1), username: "ann" }));
  const secretOf = async (catalog: Catalog): Promise<string> => {
    const { resource: found } = await catalog.get("oauth2_credential", {
      name: "c",
    });
    return (found.kind.value as { clientSecret: string }).clientSecret;
  };

  test("the same clear text again, or none, is no change", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([consumer, app("sesame")]);
    expect(await verifyPassword("sesame", await secretOf(catalog))).toBe(true);
    expect((await catalog.transact([app("sesame")])).changes).toEqual([]);
    expect((await catalog.transact([app("")])).changes).toEqual([]);
    await catalog.transact([app("clear", { hashSecret: false })]);
    expect(await secretOf(catalog)).toBe("clear");
  });

  test("a hash that Kong made is stored as it is", async () => {
    const { catalog } = await openCatalog();
    const hash = `$pbkdf2-sha512$i=10000,l=32$${"A".repeat(22)}$${"B".repeat(43)}`;
    await catalog.transact([consumer, app(hash)]);
    expect(await secretOf(catalog)).toBe(hash);
    await catalog.transact([app("$pbkdf2-sha512$")]);
    expect(isStoredPassword(await secretOf(catalog))).toBe(true);
  });
});

describe("putting a basic-auth credential", () => {
  const credential = (password: string, tags: string[] = []) =>
    put(
      resource("basicauthCredential", {
        username: "ann",
        password,
        consumer: { id: id(1) },
        tags,
      }),
    );
  const consumer = put(resource("consumer", { id: id(1), username: "ann" }));
  const passwordOf = async (catalog: Catalog): Promise<string> => {
    const { resource: found } = await catalog.get("basicauth_credential", {
      name: "ann",
    });
    return (found.kind.value as { password: string }).password;
  };

  test("stores its password hashed; the same clear text again is no change", async () => {
    const { catalog } = await openCatalog();
    await catalog.transact([consumer, credential("sesame")]);
    const stored = await passwordOf(catalog);
    expect(await verifyPassword("sesame", stored)).toBe(true);
    expect((await catalog.transact([credential("sesame")])).changes).toEqual(
      [],
    );
    await catalog.transact([credential("sesame", ["x"])]);
    expect(await passwordOf(catalog)).toBe(stored);
    await catalog.transact([credential("other")]);
    expect(await verifyPassword("other", await passwordOf(catalog))).toBe(true);
  });

  test("keeps one that comes in its stored form", async () => {
    const { catalog } = await openCatalog();
    const stored = await hashPassword("sesame", randomBytes);
    await catalog.transact([consumer, credential(stored)]);
    expect(await passwordOf(catalog)).toBe(stored);
  });

  test("leaves the message it was given as it was", async () => {
    const { catalog } = await openCatalog();
    const operation = credential("sesame");
    await catalog.transact([consumer, operation]);
    expect(operation).toMatchObject({
      resource: { kind: { value: { password: "sesame" } } },
    });
  });

  test("refuses one that is missing or far too long, without showing it", async () => {
    const { catalog } = await openCatalog();
    for (const password of ["", "x".repeat(5000)]) {
      const refused = await refusal(
        catalog.transact([consumer, credential(password)]),
      );
      expect(refused.code).toBe("invalid_argument");
      expect(refused.violations[0]).toMatch(
        /^basicauth_credential ann: password: /,
      );
      expect(refused.violations[0]).not.toContain("xxx");
    }
  });
});
