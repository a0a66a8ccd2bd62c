import { LRUCache } from "lru-cache";
import { BotDetectionConfigSchema } from "../../../gen/holdfast/plugin/v1/bot_detection_pb.js";
import { compileRegex, type Regex } from "../../../model/regex.ts";
import { definePlugin, type PluginHandlers } from "../plugin.ts";
import { KNOWN_BOTS } from "./known-bots.ts";

/** Verdicts that are remembered: clients are many, what they call themselves is not. */
const MAX_REMEMBERED = 1_000;
/** Longer names are judged each time: nobody may fill the memory with them. */
const MAX_REMEMBERED_LENGTH = 512;

/** "bot-detection": programs that say what they are in User-Agent are refused. */
export const botDetection = definePlugin({
  name: "bot-detection",
  version: 1,
  priority: 2500,
  schema: BotDetectionConfigSchema,
  create: ({ allow, deny }): PluginHandlers => {
    const allowed = anyOf(allow);
    const denied = anyOf([...deny, ...KNOWN_BOTS.map((bot) => `(?i)${bot}`)]);
    const isBot = (agent: string): boolean =>
      allowed?.test(agent) !== true && denied?.test(agent) === true;
    const remembered = new LRUCache<string, boolean>({ max: MAX_REMEMBERED });
    return {
      access: ({ request }) => {
        const agents = request.header("user-agent");
        if (agents.length > 1)
          return { status: 400, message: "Only one User-Agent header allowed" };
        const agent = agents[0]?.trim() ?? "";
        if (agent === "") return undefined;
        let refused = remembered.get(agent);
        if (refused === undefined) {
          refused = isBot(agent);
          if (agent.length <= MAX_REMEMBERED_LENGTH)
            remembered.set(agent, refused);
        }
        return refused ? { status: 403, message: "Forbidden" } : undefined;
      },
    };
  },
});

/** One expression for all: the text is gone through once. Undefined for none. */
function anyOf(sources: readonly string[]): Regex | undefined {
  if (sources.length === 0) return undefined;
  const compiled = compileRegex(
    sources.map((source) => `(?:${source})`).join("|"),
  );
  if (!compiled.ok) throw new TypeError(compiled.reason);
  return compiled.regex;
}
