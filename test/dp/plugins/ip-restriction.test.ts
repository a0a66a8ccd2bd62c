import { describe, expect, test } from "vitest";
import {
  networksOf,
  parseAddress,
} from "../../../src/dp/plugins/ip-restriction/networks.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";

describe("a set of networks", () => {
  test.each<[networks: string[], inside: string[], outside: string[]]>([
    [["10.0.0.1"], ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2", "::1"]],
    [["10.0.0.0/8"], ["10.255.0.1", "::ffff:10.1.1.1"], ["11.0.0.1"]],
    [["0.0.0.0/0"], ["1.2.3.4", "::ffff:1.2.3.4"], ["2001:db8::1"]],
    [["::/0"], ["2001:db8::1"], ["1.2.3.4"]],
    [["2001:db8::/32"], ["2001:db8:1::1"], ["2001:db9::1"]],
    [["2001:DB8::0:1"], ["2001:db8::1"], ["2001:db8::2"]],
    [["::ffff:10.0.0.0/104"], ["10.1.2.3"], ["11.0.0.1"]],
    [["::ffff:10.0.0.7"], ["10.0.0.7"], ["10.0.0.8"]],
    [["10.0.0.9/32", "::1/128"], ["10.0.0.9", "::1"], ["10.0.0.8"]],
  ])("%j", (texts, inside, outside) => {
    const networks = networksOf(texts);
    const has = (text: string): boolean => {
      const address = parseAddress(text);
      return address !== undefined && networks.has(address);
    };
    expect(inside.filter((text) => !has(text))).toEqual([]);
    expect(outside.filter(has)).toEqual([]);
  });
});

describe("ip-restriction", () => {
  test.each<[what: string, config: object, status: number, message: string]>([
    [
      "refuses an address that is denied",
      { deny: ["127.0.0.0/8"] },
      403,
      "IP address not allowed: 127.0.0.1",
    ],
    [
      "refuses an address that is not allowed",
      { allow: ["10.0.0.0/8"] },
      403,
      "IP address not allowed: 127.0.0.1",
    ],
    [
      "looks at what is denied first",
      { allow: ["127.0.0.1"], deny: ["127.0.0.1"] },
      403,
      "IP address not allowed: 127.0.0.1",
    ],
    [
      "answers with the status and the message that are set",
      { deny: ["127.0.0.1"], status: 404, message: "nothing here" },
      404,
      "nothing here",
    ],
  ])("%s", async (_, config, status, message) => {
    await using plane = await PluginGateway.start({ "ip-restriction": config });
    const answer = await plane.ask("/api");
    expect(answer.status).toBe(status);
    expect(answer.json()["message"]).toBe(message);
  });

  test.each([{ allow: ["127.0.0.1"] }, { deny: ["10.0.0.1"] }])(
    "lets pass with %j",
    async (config) => {
      await using plane = await PluginGateway.start({
        "ip-restriction": config,
      });
      expect((await plane.ask("/api")).status).toBe(200);
    },
  );

  test("judges by the client's address that a trusted proxy tells, and by no other", async () => {
    const config = { "ip-restriction": { allow: ["203.0.113.7"] } };
    const told = { headers: { "x-real-ip": "203.0.113.7" } };
    await using plain = await PluginGateway.start(config);
    expect((await plain.ask("/api", told)).status).toBe(403);
    await using behind = await PluginGateway.start(config, {
      gateway: { headers: { trustedIps: ["127.0.0.1"] } },
    });
    expect((await behind.ask("/api", told)).status).toBe(200);
    expect((await behind.ask("/api")).status).toBe(403);
  });
});
