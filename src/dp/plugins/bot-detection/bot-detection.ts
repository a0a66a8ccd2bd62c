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
    const denied = anyOf(deny);
    const isKnown = (known ??= anyOf(KNOWN_BOTS.map((bot) => `(?i)${bot}`)));
    const isBot = (agent: string): boolean =>
      !allowed(agent) && (denied(agent) || isKnown(agent));
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

/**
 * Whether any of these expressions is found in a text. They are made one where that is possible, so that the text is gone
 * through once.
 */
function anyOf(sources: readonly string[]): (text: string) => boolean {
  const inOne = sources.map((source) => `(?:${source})`).join("|");
  const one = sources.length === 0 ? undefined : compileRegex(inOne);
  // All together may be too large, or a quotation without an end take in what is put behind it.
  const regexes =
    one?.ok === true && !inOne.includes("\\Q")
      ? [one.regex]
      : sources.map(compiled);
  return (text) => regexes.some((regex) => regex.test(text));
}

/** Made for the first configured plugin: most data planes have none. */
let known: ((agent: string) => boolean) | undefined;

function compiled(source: string): Regex {
  const result = compileRegex(source);
  if (!result.ok) throw new TypeError(result.reason);
  return result.regex;
}
