import type { Logger } from "../../runtime/logger.ts";
import type {
  Answer,
  Exchange,
  Outcome,
  ResponseHead,
} from "../plugins/plugin.ts";
import {
  compareOrder,
  type PluginChain,
  type PluginChains,
  type PluginInstance,
} from "./plugin-chains.ts";

/**
 * The plugins of one request, phase by phase. Those that take part are settled during access: from then on the revision's
 * other plugins are not needed any more.
 */
export class PluginRun {
  readonly #exchange: Exchange;
  readonly #logger: Logger;
  readonly #taking: PluginInstance[] = [];

  constructor(exchange: Exchange, logger: Logger) {
    this.#exchange = exchange;
    this.#logger = logger;
  }

  /**
   * Runs the access phase. The first answer ends it; the plugins after that one do not act on the request any more, but
   * they take part in the later phases, as in Kong.
   */
  async access(chains: PluginChains): Promise<Answer | undefined> {
    const exchange = this.#exchange;
    const chainNow = (): PluginChain =>
      chains.chainOf({
        route: exchange.route.id,
        service: exchange.service?.id ?? "",
        consumer: exchange.consumer?.id ?? "",
      });
    let chain = chainNow();
    let { consumer } = exchange;
    let answer = lackingAnswer(chain, exchange);
    for (
      let plugin = chain[0];
      plugin !== undefined;
      plugin = chain.find(after(plugin))
    ) {
      this.#taking.push(plugin);
      answer ??= await this.#run(plugin);
      if (exchange.consumer === consumer) continue;
      consumer = exchange.consumer;
      chain = chainNow();
      // One that is missing for this consumer would have run before all others.
      answer ??= lackingAnswer(chain, exchange);
    }
    return answer;
  }

  /** Runs the header filters. */
  readonly filter = (head: ResponseHead): void => {
    for (const plugin of this.#taking)
      this.#guard(plugin, () =>
        plugin.handlers?.headerFilter?.(this.#exchange, head),
      );
  };

  /** Runs the log phase. */
  log(outcome: Outcome): void {
    for (const plugin of this.#taking)
      this.#guard(plugin, () =>
        plugin.handlers?.log?.(this.#exchange, outcome),
      );
  }

  async #run(plugin: PluginInstance): Promise<Answer | undefined> {
    try {
      return await plugin.handlers?.access?.(this.#exchange);
    } catch (error) {
      this.#report(plugin, error);
      return {
        status: 500,
        body: {
          message: "An unexpected error occurred",
          request_id: this.#exchange.id,
        },
      };
    }
  }

  #guard(plugin: PluginInstance, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#report(plugin, error);
    }
  }

  #report({ key, name }: PluginInstance, error: unknown): void {
    this.#logger.error("plugin.failed", {
      plugin: name,
      key,
      request: this.#exchange.id,
      err: error,
    });
  }
}

function after(plugin: PluginInstance): (other: PluginInstance) => boolean {
  return (other) => compareOrder(plugin, other) < 0;
}

/** The answer to a request that needs a plugin which this data plane does not have: never a silent pass. */
function lackingAnswer(
  chain: PluginChain,
  { id }: Exchange,
): Answer | undefined {
  const lacking = chain.find(({ handlers }) => handlers === undefined);
  return lacking === undefined
    ? undefined
    : {
        status: 503,
        body: {
          message: `the plugin "${lacking.name}" is configured here, but this data plane does not have it`,
          plugin: lacking.name,
          request_id: id,
        },
      };
}
