import type { Slices } from "../../model/slices.ts";
import type { PluginHandlers } from "../plugins/plugin.ts";

/** Which requests a plugin is for. Absent: any. */
export interface PluginScope {
  readonly route?: string;
  readonly service?: string;
  readonly consumer?: string;
}

/** One enabled plugin of the configuration. */
export interface PluginInstance {
  /** Of its entry. */
  readonly key: string;
  readonly name: string;
  /** Higher runs first; infinite for a plugin that this data plane lacks, which must stop the request before anything runs. */
  readonly priority: number;
  readonly scope: PluginScope;
  /** Undefined for a plugin that this data plane lacks. */
  readonly handlers: PluginHandlers | undefined;
}

/** Plugins in the order in which they run, one of each name. */
export type PluginChain = readonly PluginInstance[];

/** Who and what a request is about; empty for what is not there. */
export interface ChainSubject {
  readonly route: string;
  readonly service: string;
  readonly consumer: string;
}

/** Which plugins run for a request: of each name the one with the most specific scope. Immutable but for a cache. */
export class PluginChains {
  readonly #global: PluginInstance[] = [];
  readonly #byRoute = new Map<string, PluginInstance[]>();
  readonly #byService = new Map<string, PluginInstance[]>();
  readonly #byConsumer = new Map<string, PluginInstance[]>();
  /** Chains without a consumer, by route. */
  readonly #cache = new Map<string, PluginChain>();

  private constructor() {
    // See `build`.
  }

  /** Chains of these plugins. */
  static *build(plugins: Iterable<PluginInstance>): Slices<PluginChains> {
    const chains = new PluginChains();
    let handled = 0;
    for (const plugin of plugins) {
      chains.#add(plugin);
      if (++handled === 64) {
        yield handled;
        handled = 0;
      }
    }
    return chains;
  }

  #add(plugin: PluginInstance): void {
    const { route, service, consumer } = plugin.scope;
    if (consumer !== undefined) push(this.#byConsumer, consumer, plugin);
    else if (route !== undefined) push(this.#byRoute, route, plugin);
    else if (service !== undefined) push(this.#byService, service, plugin);
    else this.#global.push(plugin);
  }

  /** The plugins for a request. */
  chainOf(subject: ChainSubject): PluginChain {
    const base = this.#baseChain(subject);
    const own = this.#byConsumer.get(subject.consumer);
    return own === undefined ? base : mostSpecific([...base, ...own], subject);
  }

  #baseChain(subject: ChainSubject): PluginChain {
    let chain = this.#cache.get(subject.route);
    if (chain === undefined) {
      chain = mostSpecific(
        [
          ...this.#global,
          ...(this.#byService.get(subject.service) ?? []),
          ...(this.#byRoute.get(subject.route) ?? []),
        ],
        subject,
      );
      this.#cache.set(subject.route, chain);
    }
    return chain;
  }
}

/** Negative when `a` runs before `b`. */
export function compareOrder(a: PluginInstance, b: PluginInstance): number {
  if (a.priority !== b.priority) return a.priority > b.priority ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function mostSpecific(
  plugins: readonly PluginInstance[],
  subject: ChainSubject,
): PluginChain {
  const byName = new Map<string, PluginInstance>();
  for (const plugin of plugins) {
    if (!covers(plugin.scope, subject)) continue;
    const other = byName.get(plugin.name);
    if (
      other === undefined ||
      specificity(plugin.scope) > specificity(other.scope)
    )
      byName.set(plugin.name, plugin);
  }
  return [...byName.values()].sort(compareOrder);
}

function covers(scope: PluginScope, subject: ChainSubject): boolean {
  return (
    (scope.route === undefined || scope.route === subject.route) &&
    (scope.service === undefined || scope.service === subject.service) &&
    (scope.consumer === undefined || scope.consumer === subject.consumer)
  );
}

/**
 * From the most specific down: route, service and consumer; route and consumer; service and consumer; route and service;
 * consumer; route; service; all.
 */
function specificity({ route, service, consumer }: PluginScope): number {
  const parts = [route, service, consumer].filter((part) => part !== undefined);
  return (
    parts.length * 8 +
    (consumer === undefined ? 0 : 4) +
    (route === undefined ? 0 : 2) +
    (service === undefined ? 0 : 1)
  );
}

function push(
  map: Map<string, PluginInstance[]>,
  key: string,
  plugin: PluginInstance,
): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [plugin]);
  else list.push(plugin);
}
