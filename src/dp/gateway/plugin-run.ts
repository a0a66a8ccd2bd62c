import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type {
  Answer,
  Exchange,
  PluginHandlers,
  ResponseHead,
} from "../plugins/plugin.ts";
import type { LogEntry } from "./log-entry.ts";
import { AnswerWork } from "./plugin-answers.ts";
import {
  chainFor,
  compareOrder,
  type PluginChain,
  type PluginChains,
  type PluginInstance,
} from "./plugin-chains.ts";

/** What running plugins needs. */
export interface PluginTools {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long one plugin may keep a request before it goes upstream. */
const ACCESS_TIMEOUT_MS = 120_000;

type Result = ReturnType<NonNullable<PluginHandlers["access"]>>;

/**
 * The plugins of one request, phase by phase. Those that take part are settled during access: from then on the revision's
 * other plugins are not needed any more.
 */
export class PluginRun {
  readonly #exchange: Exchange;
  readonly #tools: PluginTools;
  #taking: PluginInstance[] = [];
  #worked = false;

  constructor(exchange: Exchange, tools: PluginTools) {
    this.#exchange = exchange;
    this.#tools = tools;
  }

  /** Lets the plugins that are for all requests see this one before its route is looked for. The first answer ends it. */
  async rewrite(chains: PluginChains): Promise<Answer | undefined> {
    for (const plugin of chains.rewriting) {
      const answer = await settle(
        plugin,
        () => plugin.handlers?.rewrite?.(this.#exchange),
        this.#exchange.id,
        this.#tools,
      );
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /**
   * Runs the access phase. The first answer ends it; the plugins after that one do not act on the request any more, but
   * they take part in the later phases, as in Kong. A promise only when a plugin makes one.
   */
  access(chains: PluginChains): Result {
    return new Access(this.#exchange, this.#taking, chains, this.#tools).run();
  }

  /** For a request without a route: the plugins for all requests take part in what follows its answer. */
  unrouted(chains: PluginChains): void {
    this.#taking = [
      ...chains.chainOf({ route: "", service: "", consumer: "", groups: [] }),
    ];
    for (const plugin of this.#taking) plugin.lease?.take();
  }

  /** What plugins want with the body of an answer, by its head; undefined for nothing. Before the header filters. */
  readonly work = (head: ResponseHead): AnswerWork | undefined => {
    // What is said instead of an answer that a plugin refused is not its business.
    if (this.#worked || !this.#taking.some(worksOnAnswers)) return undefined;
    this.#worked = true;
    return AnswerWork.of(this.#taking, this.#exchange, head, this.#report);
  };

  /** Runs the header filters. */
  readonly filter = (head: ResponseHead): void => {
    for (const plugin of this.#taking)
      if (plugin.handlers?.headerFilter !== undefined)
        try {
          plugin.handlers.headerFilter(this.#exchange, head);
        } catch (error) {
          this.#report(plugin, error);
        }
  };

  /** Whether anybody wants to hear how the request ended. */
  get logs(): boolean {
    return this.#taking.some(({ handlers }) => handlers?.log !== undefined);
  }

  /** Runs the log phase, if there is something to log. The last: the plugins may be closed after it. */
  end(entry: LogEntry | undefined): void {
    for (const plugin of this.#taking) {
      try {
        if (entry !== undefined) plugin.handlers?.log?.(this.#exchange, entry);
      } catch (error) {
        this.#report(plugin, error);
      }
      plugin.lease?.release();
    }
    this.#taking = [];
  }

  readonly #report = (plugin: PluginInstance, error: unknown): void => {
    report(plugin, error, this.#exchange.id, this.#tools.logger);
  };
}

function worksOnAnswers({ handlers }: PluginInstance): boolean {
  return handlers?.response !== undefined || handlers?.bodyFilter !== undefined;
}

/** The access phase of one request. */
class Access {
  readonly #exchange: Exchange;
  readonly #taking: PluginInstance[];
  readonly #chains: PluginChains;
  readonly #tools: PluginTools;
  #chain: PluginChain;
  /** Of the chain's next plugin. */
  #next = 0;
  #consumer: Exchange["consumer"];
  #answer: Answer | undefined;

  constructor(
    exchange: Exchange,
    taking: PluginInstance[],
    chains: PluginChains,
    tools: PluginTools,
  ) {
    this.#exchange = exchange;
    this.#taking = taking;
    this.#chains = chains;
    this.#tools = tools;
    this.#consumer = exchange.consumer;
    this.#chain = this.#chainNow();
    this.#answer = lackingAnswer(this.#chain, exchange);
  }

  run(): Result {
    for (;;) {
      const plugin = this.#chain[this.#next];
      if (plugin === undefined) return this.#answer;
      this.#next++;
      this.#taking.push(plugin);
      plugin.lease?.take();
      if (this.#answer !== undefined) continue;
      const result = settle(
        plugin,
        () => plugin.handlers?.access?.(this.#exchange),
        this.#exchange.id,
        this.#tools,
      );
      if (isPending(result))
        return result.then((answer) => {
          this.#after(plugin, answer);
          return this.run();
        });
      this.#after(plugin, result);
    }
  }

  #after(plugin: PluginInstance, answer: Answer | undefined): void {
    const exchange = this.#exchange;
    this.#answer = answer;
    if (exchange.consumer === this.#consumer) return;
    this.#consumer = exchange.consumer;
    this.#chain = this.#chainNow();
    const next = this.#chain.findIndex((one) => compareOrder(plugin, one) < 0);
    this.#next = next < 0 ? this.#chain.length : next;
    // One that is missing for this consumer would have run before all others.
    this.#answer ??= lackingAnswer(this.#chain, exchange);
  }

  #chainNow(): PluginChain {
    const { route, service, consumer, consumers } = this.#exchange;
    return chainFor(this.#chains, consumers, {
      route: route.id,
      service: service?.id ?? "",
      consumer: consumer?.id,
    });
  }
}

/** Runs a plugin that may answer. Whatever it does, there is an outcome, and before the deadline. */
function settle(
  plugin: PluginInstance,
  run: () => Result,
  request: string,
  tools: PluginTools,
): Result {
  const failed = (error: unknown): Answer => {
    report(plugin, error, request, tools.logger);
    return { status: 500, message: "An unexpected error occurred" };
  };
  try {
    const result = run();
    if (!isPending(result)) return result;
    return new Promise((resolve) => {
      const timer = tools.clock.setTimer(ACCESS_TIMEOUT_MS, () => {
        resolve(
          failed(new Error(`no decision within ${ACCESS_TIMEOUT_MS} ms`)),
        );
      });
      result
        .catch(failed)
        .then((answer) => {
          timer.cancel();
          resolve(answer);
        })
        // Nothing here throws; a promise that is not node's own might.
        .catch(resolve);
    });
  } catch (error) {
    return failed(error);
  }
}

/** Whether an answer is still to come. */
export function isPending(
  result: Result,
): result is Promise<Answer | undefined> {
  return result !== undefined && "then" in result;
}

function report(
  { key, name }: PluginInstance,
  error: unknown,
  request: string,
  logger: Logger,
): void {
  logger.error("plugin.failed", { plugin: name, key, request, err: error });
}

/** The answer to a request that needs a plugin which this data plane does not have: never a silent pass. */
function lackingAnswer(
  // Such a plugin comes before all others.
  [first]: PluginChain,
  { id }: Exchange,
): Answer | undefined {
  return first === undefined || first.handlers !== undefined
    ? undefined
    : {
        status: 503,
        body: {
          message: `the plugin "${first.name}" is configured here, but this data plane does not have it`,
          plugin: first.name,
          request_id: id,
        },
      };
}
