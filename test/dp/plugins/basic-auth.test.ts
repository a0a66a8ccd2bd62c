import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { LoginChecker } from "../../../src/dp/plugins/basic-auth/login-checker.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { hashPassword } from "../../../src/runtime/passwords.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { id, resource } from "../../support/resources.ts";

let stored: string;
let other: string;

beforeAll(async () => {
  [stored, other] = (await Promise.all(
    ["open:sesame", "another"].map((clear) => hashPassword(clear, randomBytes)),
  )) as [string, string];
});

function people(password = stored): Resource[] {
  return [
    resource("consumer", { id: id(20), username: "ann", customId: "a-1" }),
    resource("consumer", { id: id(21), username: "guest" }),
    resource("basicauthCredential", {
      id: id(22),
      consumer: { id: id(20) },
      username: "ann",
      password,
    }),
  ];
}

function basic(login: string, header = "authorization") {
  const encoded = Buffer.from(login, "utf8").toString("base64");
  return { headers: { [header]: `Basic ${encoded}` } };
}

interface Seen {
  readonly headers: Readonly<Record<string, string>>;
}

async function withBasicAuth(
  config: object,
  use: (plane: PluginGateway) => Promise<void>,
): Promise<void> {
  await using plane = await PluginGateway.start(
    { "basic-auth": config },
    { resources: people() },
  );
  await use(plane);
}

describe("basic-auth", () => {
  test("lets a consumer pass and tells the upstream who it is, login included", () =>
    withBasicAuth({}, async (plane) => {
      const answer = await plane.ask("/api", basic("ann:open:sesame"));
      expect(answer.status).toBe(200);
      expect(answer.json<Seen>().headers).toMatchObject({
        "x-consumer-id": id(20),
        "x-consumer-username": "ann",
        "x-consumer-custom-id": "a-1",
        "x-credential-identifier": id(22),
        authorization: basic("ann:open:sesame").headers["authorization"],
      });
    }));

  test("hides the header that has the login when asked to", () =>
    withBasicAuth({ hide_credentials: true }, async (plane) => {
      const { headers } = basic("ann:open:sesame");
      const answer = await plane.ask("/api", { headers });
      expect(answer.json<Seen>().headers).not.toHaveProperty("authorization");
    }));

  test("takes a login from Proxy-Authorization", () =>
    withBasicAuth({}, async (plane) => {
      const login = basic("ann:open:sesame", "proxy-authorization");
      expect((await plane.ask("/api", login)).status).toBe(200);
    }));

  test("refuses everything else alike, and says how to log in", () =>
    withBasicAuth({ realm: 'a "b"' }, async (plane) => {
      for (const options of [
        {},
        basic("ann:wrong"),
        basic("ann:"),
        basic("nobody:open:sesame"),
        basic("no colon"),
        { headers: { authorization: "Basic" } },
        { headers: { authorization: "Basic \u00e4" } },
        { headers: { authorization: "Bearer abc" } },
        { headers: { authorization: `Basic ${"A".repeat(12_000)}` } },
      ]) {
        const answer = await plane.ask("/api", options);
        expect(answer.status).toBe(401);
        expect(answer.json()["message"]).toBe("Unauthorized");
        expect(answer.headers["www-authenticate"]).toBe(
          String.raw`Basic realm="a \"b\""`,
        );
      }
    }));

  test('names the realm "service" when nothing else is said', () =>
    withBasicAuth({}, async (plane) => {
      const answer = await plane.ask("/api");
      expect(answer.headers["www-authenticate"]).toBe('Basic realm="service"');
    }));

  test("takes whom it does not know for the anonymous consumer", () =>
    withBasicAuth({ anonymous: "guest" }, async (plane) => {
      const { headers } = (
        await plane.ask("/api", basic("ann:wrong"))
      ).json<Seen>();
      expect(headers).toMatchObject({
        "x-consumer-username": "guest",
        "x-anonymous-consumer": "true",
      });
      expect(headers).not.toHaveProperty("x-credential-identifier");
    }));

  test("a changed password counts from the revision that has it", async () => {
    await using plane = await PluginGateway.start(
      { "basic-auth": {} },
      { resources: people() },
    );
    const before = plane.resources;
    const status = async (login: string) =>
      (await plane.ask("/api", basic(login))).status;
    expect(await status("ann:open:sesame")).toBe(200);
    expect(await status("ann:another")).toBe(401);
    await plane.configure({ "basic-auth": {} }, [
      ...before.slice(0, 2),
      ...people(other),
    ]);
    expect(await status("ann:open:sesame")).toBe(401);
    expect(await status("ann:another")).toBe(200);
    await plane.configure({ "basic-auth": {} }, before.slice(0, 2));
    expect(await status("ann:another")).toBe(401);
  });
});

describe("checking logins", () => {
  test("costs its time once for each login, however many requests bring it", async () => {
    const checker = new LoginChecker({ atOnce: 1, maxWaiting: 0 });
    const many = Array.from({ length: 50 }, () =>
      Promise.resolve(checker.check("ann", "open:sesame", stored)),
    );
    expect(new Set(await Promise.all(many))).toEqual(new Set(["right"]));
    expect(checker.check("ann", "open:sesame", stored)).toBe("right");
    await expect(checker.check("ann", "wrong", stored)).resolves.toBe("wrong");
    expect(checker.check("ann", "wrong", stored)).toBe("wrong");
  });

  test("does not hold the event loop", async () => {
    const checker = new LoginChecker();
    let turns = 0;
    const counting = setInterval(() => turns++, 1);
    await checker.check("ann", "open:sesame", stored);
    clearInterval(counting);
    expect(turns).toBeGreaterThan(3);
  });

  test("remembers nothing of another stored password, nor of a name that nobody had", async () => {
    const checker = new LoginChecker();
    expect(await checker.check("ann", "open:sesame", undefined)).toBe("wrong");
    expect(await checker.check("ann", "open:sesame", stored)).toBe("right");
    expect(await checker.check("ann", "open:sesame", other)).toBe("wrong");
    expect(await checker.check("ann", "open:sesame", undefined)).toBe("wrong");
  });

  test("tells a name and a password apart", async () => {
    const checker = new LoginChecker();
    expect(await checker.check("ann", "open:sesame", stored)).toBe("right");
    expect(await checker.check("anno", "pen:sesame", stored)).toBe("wrong");
  });

  test("answers at once when too many wait", async () => {
    const checker = new LoginChecker({ atOnce: 1, maxWaiting: 1 });
    const running = checker.check("ann", "1", stored);
    const waiting = checker.check("ann", "2", stored);
    expect(checker.check("ann", "3", stored)).toBe("busy");
    expect(await Promise.all([running, waiting])).toEqual(["wrong", "wrong"]);
    expect(await checker.check("ann", "3", stored)).toBe("wrong");
  });
});
