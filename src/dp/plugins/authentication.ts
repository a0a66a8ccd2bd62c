import type { Answer, Exchange } from "./plugin.ts";

/** What all authenticating plugins are configured with. */
export interface AuthenticationConfig {
  /** Id or username of the consumer that requests without valid credentials get; empty for none. */
  readonly anonymous: string;
  /** False when an OPTIONS request needs no credentials. */
  readonly runOnPreflight?: boolean | undefined;
}

/**
 * Lets a request pass that shows who it comes from. Without an anonymous consumer every authenticating plugin must be
 * satisfied; with one they are alternatives, and one is enough.
 *
 * @param prove Finds the credentials and says who they belong to (`exchange.authenticate`), or answers why not.
 */
export function requireConsumer(
  config: AuthenticationConfig,
  exchange: Exchange,
  prove: () => Answer | undefined | Promise<Answer | undefined>,
): Answer | undefined | Promise<Answer | undefined> {
  const { anonymous } = config;
  if (exchange.request.method === "OPTIONS" && config.runOnPreflight === false)
    return undefined;
  if (anonymous !== "" && exchange.credentialId !== undefined) return undefined;
  const refusal = prove();
  if (anonymous === "") return refusal;
  return refusal instanceof Promise
    ? refusal.then((settled) => settled && useAnonymous(anonymous, exchange))
    : refusal && useAnonymous(anonymous, exchange);
}

function useAnonymous(name: string, exchange: Exchange): Answer | undefined {
  const { consumers } = exchange;
  const consumer = consumers.byId(name) ?? consumers.byUsername(name);
  if (consumer === undefined)
    return {
      status: 500,
      message: `anonymous consumer ${name} is configured but doesn't exist`,
    };
  exchange.authenticate(consumer, undefined);
  return undefined;
}

/** The answer to a request whose credentials are missing or wrong. */
export function unauthorized(message: string, challenge: string): Answer {
  return { status: 401, headers: { "WWW-Authenticate": challenge }, message };
}

/** How a client may show who it is: `Basic realm="service"`. Empty parameters are left out. */
export function challengeOf(
  scheme: string,
  parameters: Readonly<Record<string, string>>,
): string {
  const told = Object.entries(parameters)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}="${value.replace(/["\\]/g, "\\$&")}"`);
  return told.length === 0 ? scheme : `${scheme} ${told.join(", ")}`;
}
