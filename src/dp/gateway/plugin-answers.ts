import type {
  BodyFilter,
  Exchange,
  ResponseHandler,
  ResponseHead,
  WholeResponse,
} from "../plugins/plugin.ts";
import type { PluginInstance } from "./plugin-chains.ts";

/** Changes the head of a response before it goes out. */
export type HeaderFilter = (head: ResponseHead) => void;

/** What plugins do with an answer: `work` is asked first, for what they want with the body. */
export interface AnswerPlugins {
  readonly work: (head: ResponseHead) => AnswerWork | undefined;
  readonly filter: HeaderFilter;
}

/** No plugin takes part. */
export const NO_PLUGINS: AnswerPlugins = {
  work: () => undefined,
  filter: () => undefined,
};

/** Hears of a plugin that threw. */
export type PluginReport = (plugin: PluginInstance, error: unknown) => void;

type Whole = Extract<ResponseHandler, { readonly limitBytes: number }>;
type Watch = Extract<ResponseHandler, { readonly watch: unknown }>["watch"];

interface Asked<T> {
  readonly plugin: PluginInstance;
  readonly wants: T;
}

/** What the plugins of a request do with the body of one answer: `whole`, then `filters`, then `pass` for every piece. */
export class AnswerWork {
  /** How many bytes of a body are held back to be changed as a whole; 0: none. */
  readonly holdBytes: number;
  /** The status that is sent instead of the upstream's answer, without a body. */
  readonly insteadStatus: number | undefined;
  readonly #plugins: readonly PluginInstance[];
  readonly #exchange: Exchange;
  readonly #report: PluginReport;
  readonly #watching: Asked<Watch>[] = [];
  readonly #holding: Asked<Whole>[] = [];
  readonly #filtering: Asked<BodyFilter>[] = [];

  private constructor(
    plugins: readonly PluginInstance[],
    exchange: Exchange,
    head: ResponseHead,
    report: PluginReport,
  ) {
    this.#plugins = plugins;
    this.#exchange = exchange;
    this.#report = report;
    let insteadStatus: number | undefined;
    for (const plugin of plugins) {
      const wants = this.#guarded(plugin, () =>
        plugin.handlers?.response?.(exchange, head),
      );
      if (wants === undefined) continue;
      if ("watch" in wants) this.#watching.push({ plugin, wants: wants.watch });
      else if ("insteadStatus" in wants) insteadStatus ??= wants.insteadStatus;
      else this.#holding.push({ plugin, wants });
    }
    this.insteadStatus = insteadStatus;
    this.holdBytes = Math.max(
      0,
      ...this.#holding.map(({ wants }) => wants.limitBytes),
    );
  }

  /** Asks the plugins about an answer; undefined when none of them does anything with its body. */
  static of(
    plugins: readonly PluginInstance[],
    exchange: Exchange,
    head: ResponseHead,
    report: PluginReport,
  ): AnswerWork | undefined {
    const work = new AnswerWork(plugins, exchange, head, report);
    return work.#watching.length > 0 ||
      work.#holding.length > 0 ||
      work.insteadStatus !== undefined ||
      plugins.some(({ handlers }) => handlers?.bodyFilter !== undefined)
      ? work
      : undefined;
  }

  /**
   * Lets the plugins that want the whole answer change it.
   *
   * @param body Undefined when it has more than `holdBytes`.
   * @returns Undefined when the answer must not be sent, because a plugin that has to change it cannot.
   */
  async whole(
    head: ResponseHead,
    body: Buffer | undefined,
  ): Promise<WholeResponse | undefined> {
    const { status, headers, fromUpstream } = head;
    const response: WholeResponse = {
      status,
      headers,
      fromUpstream,
      body: body ?? EMPTY,
    };
    if (body !== undefined) this.#watch(body, true);
    for (const { plugin, wants } of this.#holding)
      if (body !== undefined && response.body.length <= wants.limitBytes)
        try {
          await wants.whole(response);
        } catch (error) {
          this.#report(plugin, error);
          if (wants.tooLarge === "refuse") return undefined;
        }
      else if (wants.tooLarge === "refuse") return undefined;
    return response;
  }

  /**
   * Asks for the functions that change the body while it passes.
   *
   * @returns Whether there are any: the body's length is not known then.
   */
  filters(head: ResponseHead): boolean {
    for (const plugin of this.#plugins) {
      const wants = this.#guarded(plugin, () =>
        plugin.handlers?.bodyFilter?.(this.#exchange, head),
      );
      if (wants !== undefined) this.#filtering.push({ plugin, wants });
    }
    return this.#filtering.length > 0;
  }

  /** A piece of a body that is not held back; what is to be sent for it. */
  readonly pass = (chunk: Buffer, last: boolean): Buffer => {
    this.#watch(chunk, last);
    return this.filter(chunk, last);
  };

  /** A piece of a body that was held back and changed already; what is to be sent for it. */
  filter(chunk: Buffer, last: boolean): Buffer {
    let out = chunk;
    for (const { plugin, wants } of this.#filtering)
      out = this.#guarded(plugin, () => wants(out, last)) ?? out;
    return out;
  }

  #watch(chunk: Buffer, last: boolean): void {
    for (const { plugin, wants } of this.#watching)
      this.#guarded(plugin, () => {
        wants(chunk, last);
      });
  }

  #guarded<T>(plugin: PluginInstance, run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#report(plugin, error);
      return undefined;
    }
  }
}

const EMPTY = Buffer.alloc(0);
