import { expect, test } from "vitest";
import { PluginGateway } from "../../support/plugin-gateway.ts";

/** The statuses that these agents get, in order. */
async function statuses(
  config: object,
  agents: readonly string[],
): Promise<Record<string, number>> {
  await using plane = await PluginGateway.start({ "bot-detection": config });
  const answers: Record<string, number> = {};
  for (const agent of agents) {
    const headers = { "user-agent": agent };
    answers[agent] = (await plane.ask("/api", { headers })).status;
  }
  return answers;
}

function all(agents: readonly string[], status: number) {
  return Object.fromEntries(agents.map((agent) => [agent, status]));
}

test("programs that say what they are get 403", async () => {
  const bots = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0)",
    "facebookexternalhit/1.1",
    "TelegramBot (like TwitterBot)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)",
    "Scrapy/2.11 (+https://scrapy.org)",
    "Mozilla/5.0 (Windows NT 10.0) HeadlessChrome/120.0.0.0 Safari/537.36",
    "sqlmap/1.7",
  ];
  expect(await statuses({}, bots)).toEqual(all(bots, 403));
});

test("browsers, libraries and telephones pass", async () => {
  const people = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Linux; Android 9; CUBOT X18 Plus Build/PPR1) AppleWebKit/537.36 Chrome/120 Mobile Safari/537.36",
    "curl/8.5.0",
    "okhttp/4.12.0",
    "python-requests/2.31",
    "Bottle/1.0",
  ];
  expect(await statuses({}, people)).toEqual(all(people, 200));
});

test("what is allowed passes, and what is denied as well does not", async () => {
  expect(
    await statuses(
      { allow: ["(Uptime-Kuma)"], deny: ["(C|c)rawler", "^Robot", "(?i)wget"] },
      ["Uptime-Kuma/1.23", "my Crawler", "Wget/1.21", "Robot", "a robust tool"],
    ),
  ).toEqual({
    "Uptime-Kuma/1.23": 200,
    "my Crawler": 403,
    "Wget/1.21": 403,
    Robot: 403,
    "a robust tool": 200,
  });
});

test("a request without an agent passes, and one with two gets 400", async () => {
  await using plane = await PluginGateway.start({ "bot-detection": {} });
  expect((await plane.ask("/api")).status).toBe(200);
  const answer = await plane.ask("/api", {
    headers: { "user-agent": ["curl/8", "Googlebot/2.1"] },
  });
  expect(answer.status).toBe(400);
  expect(answer.json()["message"]).toBe("Only one User-Agent header allowed");
});

test("expressions that are too many for one, or that would swallow the next, count each for themselves", async () => {
  const long = ["a", "b", "c"].map((letter) => `^${letter}{900}$`);
  const agents = ["b".repeat(900), "Q(", "x (y)", "b", "curl/8.5.0"];
  expect(await statuses({ deny: [...long, "^\\QQ(", "^x"] }, agents)).toEqual({
    ...all(agents.slice(0, 3), 403),
    ...all(agents.slice(3), 200),
  });
});
